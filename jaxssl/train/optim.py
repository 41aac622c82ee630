"""Optimisers and schedules of optax by name."""

from dataclasses import dataclass
from typing import Literal

import jax
import optax

from jaxssl.errors import UserError


@dataclass(frozen=True)
class Optim:
    """The optimiser and how its learning rate moves."""

    name: Literal["adamw", "sgd", "lars"] = "adamw"
    lr: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "polynomial", "constant"] = "cosine"
    """What follows the warm-up; cosine ends at 0, polynomial falls as (1 - t)^0.9."""
    warmup: float = 0.0
    """Share of all steps over which the learning rate rises linearly from 0."""
    weight_decay: float = 0.0
    decay: Literal["weights", "all"] = "weights"
    """What is decayed: arrays of two and more axes only, or biases and norms as well."""
    momentum: float = 0.9
    """Of sgd and lars."""
    nesterov: bool = False
    """Of sgd and lars."""
    clip_norm: float | None = None
    """Largest global norm of the gradient; none leaves it alone."""

    def check(self) -> None:
        if self.lr <= 0:
            raise UserError(f"optim.lr must be above 0, not {self.lr}.")
        if not 0 <= self.warmup < 1:
            raise UserError(f"optim.warmup is a share of all steps in [0, 1), not {self.warmup}.")
        if not 0 <= self.momentum < 1:
            raise UserError(f"optim.momentum must lie in [0, 1), not {self.momentum}.")
        if self.weight_decay < 0:
            raise UserError(f"optim.weight_decay cannot be negative ({self.weight_decay}).")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise UserError(f"optim.clip_norm must be above 0 or none, not {self.clip_norm}.")


def learning_rate(options: Optim, steps: int) -> optax.Schedule:
    """The learning rate as a function of the step."""
    rise = round(options.warmup * steps)
    rest = max(steps - rise, 1)
    after = {
        "cosine": lambda: optax.cosine_decay_schedule(options.lr, rest),
        "polynomial": lambda: optax.polynomial_schedule(options.lr, 0.0, 0.9, rest),
        "constant": lambda: optax.constant_schedule(options.lr),
    }[options.schedule]()
    if not rise:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, options.lr, rise), after], [rise])


def make_optimiser(options: Optim, steps: int) -> optax.GradientTransformation:
    """Clip, then the named optimiser on its schedule."""
    rate = learning_rate(options, steps)
    decayed = _matrices if options.decay == "weights" else _everything
    core = {
        "adamw": lambda: optax.adamw(rate, weight_decay=options.weight_decay, mask=decayed),
        # Decay goes through the momentum, as the studies' SGD has it.
        "sgd": lambda: optax.chain(
            optax.add_decayed_weights(options.weight_decay, decayed),
            optax.sgd(rate, options.momentum, options.nesterov),
        ),
        "lars": lambda: optax.lars(
            rate,
            options.weight_decay,
            weight_decay_mask=decayed,
            trust_ratio_mask=_matrices,
            momentum=options.momentum,
            nesterov=options.nesterov,
        ),
    }[options.name]()
    if options.clip_norm is None:
        return core
    return optax.chain(optax.clip_by_global_norm(options.clip_norm), core)


def _matrices(params: optax.Params) -> optax.Params:
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _everything(params: optax.Params) -> optax.Params:
    return jax.tree.map(lambda _: True, params)
