"""Optimisers and schedules by name."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from jaxssl.errors import UserError
from jaxssl.train.adam import scale_by_adam
from jaxssl.train.layers import Names, axes_of_one_layer, by_name, layer_factors


@dataclass(frozen=True)
class Optim:
    """The optimiser and how its learning rate moves."""

    name: Literal["adamw", "sgd", "lars", "lamb"] = "adamw"
    lr: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "polynomial", "constant"] = "cosine"
    """What follows the warm-up; cosine ends at 0, polynomial falls as (1 - t)^0.9."""
    warmup: float = 0.0
    """Share of all steps over which the learning rate rises linearly from 0."""
    weight_decay: float = 0.0
    weight_decay_end: float | None = None
    """Weight decay at the end of the run, reached along half a cosine as in DINO; none keeps it constant."""
    decay: Literal["weights", "all"] = "weights"
    """What is decayed: arrays of two and more axes only, or biases and norms as well."""
    layer_decay: float | None = None
    """Factor on the learning rate from each layer of the encoder to the one below it; none treats all alike."""
    momentum: float = 0.9
    """Of sgd and lars."""
    nesterov: bool = False
    """Of sgd and lars."""
    beta2: float = 0.999
    """Of adamw and lamb: how much of the mean squared gradient is kept at a step; MAE has .95."""
    clip_norm: float | None = None
    """Largest norm of the whole gradient, all arrays taken together; none leaves it alone."""
    clip_parameter: float | None = None
    """Largest norm of each array's gradient, each taken by itself as in DINO; none leaves them alone."""

    def check(self) -> None:
        if self.lr <= 0:
            raise UserError(f"optim.lr must be above 0, not {self.lr}.")
        if not 0 <= self.warmup < 1:
            raise UserError(f"optim.warmup is a share of all steps in [0, 1), not {self.warmup}.")
        if not 0 <= self.momentum < 1:
            raise UserError(f"optim.momentum must lie in [0, 1), not {self.momentum}.")
        if self.nesterov and self.name not in ("sgd", "lars"):
            raise UserError(f"optim.nesterov belongs to sgd and lars, not to {self.name}; leave it off.")
        for name in ("weight_decay", "weight_decay_end"):
            if (getattr(self, name) or 0) < 0:
                raise UserError(f"optim.{name} cannot be negative ({getattr(self, name)}).")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise UserError(f"optim.layer_decay must lie in (0, 1] or be none, not {self.layer_decay}.")
        if not 0 <= self.beta2 < 1:
            raise UserError(f"optim.beta2 must lie in [0, 1), not {self.beta2}.")
        for name in ("clip_norm", "clip_parameter"):
            bound = getattr(self, name)
            if bound is not None and bound <= 0:
                raise UserError(f"optim.{name} must be above 0 or none, not {bound}.")


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


def weight_decay(options: Optim, steps: int) -> float | optax.Schedule:
    """The weight decay: a number, or a function of the step where it moves."""
    first, last = options.weight_decay, options.weight_decay_end
    if last is None:
        return first
    # Not optax's cosine, whose end is given as a share of its beginning: a weight decay may begin at 0.
    return lambda step: last + (first - last) * (1 + jnp.cos(jnp.pi * step / steps)) / 2


def make_optimiser(options: Optim, steps: int) -> optax.GradientTransformation:
    """Clip, then the named optimiser on its schedule, then what layers further down get of its update."""
    rate = learning_rate(options, steps)
    decayed = optax.add_decayed_weights(
        weight_decay(options, steps), _matrices if options.decay == "weights" else _everything
    )
    core = {
        "adamw": lambda: optax.chain(scale_by_adam(b2=options.beta2), decayed, optax.scale_by_learning_rate(rate)),
        # Decay goes through the momentum, as the studies' SGD has it.
        "sgd": lambda: optax.chain(decayed, optax.sgd(rate, options.momentum, options.nesterov)),
        "lars": lambda: optax.chain(
            decayed,
            _trust_ratio(0.001),
            optax.scale_by_learning_rate(rate),
            optax.trace(options.momentum, options.nesterov),
        ),
        "lamb": lambda: optax.chain(
            scale_by_adam(b2=options.beta2, eps=1e-6),
            decayed,
            _trust_ratio(1.0),
            optax.scale_by_learning_rate(rate),
        ),
    }[options.name]()
    before = [] if options.clip_parameter is None else [_clip_each(options.clip_parameter)]
    before += [] if options.clip_norm is None else [optax.clip_by_global_norm(options.clip_norm)]
    after = [] if options.layer_decay is None else [_layer_decay(options.layer_decay)]
    return optax.chain(*before, core, *after)


def _trust_ratio(coefficient: float) -> optax.GradientTransformation:
    """The update of a matrix times coefficient x |matrix| / |update|; biases and norms keep theirs.

    As in optax, but layer by layer in arrays where layers are stacked.
    """

    def scaled(names: Names, param: Array, update: Array) -> Array:
        if len(axes_of_one_layer(names, param)) < 2:
            return update
        of_param, of_update = _norm(names, param), _norm(names, update)
        ratio = coefficient * of_param / jnp.where(of_update > 0, of_update, 1)
        return update * jnp.where((of_param > 0) & (of_update > 0), ratio, 1)

    return optax.stateless(lambda updates, params: by_name(scaled, params, updates))


def _clip_each(bound: float) -> optax.GradientTransformation:
    """Gradients of norm above `bound` are shortened to it, each array by itself and layer by layer where stacked."""

    def clipped(names: Names, gradient: Array) -> Array:
        return gradient * (bound / jnp.maximum(_norm(names, gradient), bound))

    return optax.stateless(lambda updates, params: by_name(clipped, updates))


def _norm(names: Names, x: Array) -> Array:
    """The norm of an array, or of each layer in it, in a shape that divides it."""
    return jnp.sqrt(jnp.sum(x * x, axes_of_one_layer(names, x), keepdims=True))


def _layer_decay(decay: float) -> optax.GradientTransformation:
    """Updates times `layer_factors`, which is a learning rate for each layer."""
    return optax.stateless(lambda updates, params: jax.tree.map(jnp.multiply, updates, layer_factors(params, decay)))


def _matrices(params: optax.Params) -> optax.Params:
    return by_name(lambda names, leaf: len(axes_of_one_layer(names, leaf)) > 1, params)


def _everything(params: optax.Params) -> optax.Params:
    return jax.tree.map(lambda _: True, params)
