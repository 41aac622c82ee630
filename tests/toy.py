"""A method with every difficulty at once: teacher, queue, batch norm, dropout, a learnt temperature, prototypes used in
`objective`, and a layer that stays frozen for the first steps. Neither DINO nor MoCo needs more of the contract."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxssl.methods import parts, teacher
from jaxssl.methods.base import Method, Seen, Spec
from jaxssl.models.norm import GroupedBatchNorm, Norm
from jaxssl.models.stochastic import Dropout
from jaxssl.numerics import island

QUEUE, PROTOTYPES, WIDTH = 32, 12, 8


@dataclass(frozen=True)
class ToyModel:
    """A stand-in backbone: only what the step and the recipe ask of one."""

    norm: Norm = field(default_factory=lambda: Norm(group=8))

    @property
    def group(self) -> int:
        return self.norm.group

    def check_size(self, size: tuple[int, int]) -> None:
        del size


@dataclass(frozen=True)
class Options:
    momentum: float = 0.9
    frozen_steps: int = 1


class Network(nn.Module):
    rows: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, keys, train: bool):
        dense = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
        x = nn.Conv(WIDTH, (3, 3), use_bias=False, **dense)(x)
        x = nn.silu(GroupedBatchNorm(rows=self.rows, dtype=self.dtype)(x, train=train))
        x = x.mean((1, 2))
        if train:
            x = Dropout(0.3)(x, keys)
        return nn.Dense(WIDTH, **dense, name="last")(x)


def build(options: Options, model: ToyModel, spec: Spec) -> Method:
    network = Network(model.norm.group, spec.dtype)
    wide = jnp.promote_types(spec.dtype, jnp.float32)

    def views(keys, batch, progress):
        def noisy(key, image):
            return image + 0.1 * jax.random.normal(key, image.shape, image.dtype)

        images = parts.standardised(batch).astype(wide)
        return jax.vmap(noisy)(keys, images)

    def init(key, views):
        keys = jax.random.split(key, len(views))
        variables = network.init(key, views, keys, train=False)
        params = {
            "encoder": variables["params"],
            "prototypes": jax.random.normal(key, (PROTOTYPES, WIDTH), wide),
            "log_temperature": jnp.full((), -1.0, wide),
        }
        carry = {
            "statistics": {"encoder": variables["statistics"]},
            "teacher": teacher.copy(params, {"encoder": variables["statistics"]}, ("encoder",)),
            "queue": jax.random.normal(jax.random.fold_in(key, 1), (QUEUE, WIDTH), wide),
        }
        return params, carry

    def forward(params, carry, views, keys, progress):
        statistics = carry["statistics"]["encoder"]
        online, changed = network.apply(
            {"params": params["encoder"], "statistics": statistics}, views, keys, train=True, mutable=["moments"]
        )
        known = {kind: by_part["encoder"] for kind, by_part in carry["teacher"].items()}
        taught = network.apply(known, views, keys, train=False)
        return Seen(online, taught, {"encoder": changed["moments"]})

    def objective(params, carry, seen, batch, progress):
        online, taught = island(seen.outputs), island(seen.fixed)
        temperature = jnp.exp(params["log_temperature"])
        to_prototypes = online @ params["prototypes"].T / temperature
        targets = jax.nn.softmax(taught @ jax.lax.stop_gradient(params["prototypes"]).T)
        distil = -(targets * jax.nn.log_softmax(to_prototypes)).sum(-1).mean()
        # Samples meet: everybody against everybody and against the queue, in unequal shares by position.
        against = jnp.concatenate([online @ taught.T, online @ carry["queue"].T], axis=1) / temperature
        weight = jnp.where(jnp.isnan(batch["position"]), 0.0, 1.0)
        own = jnp.diagonal(against)
        contrast = (weight * (jax.nn.logsumexp(against, axis=1) - own)).sum() / jnp.maximum(weight.sum(), 1)
        return distil + contrast, {"newest": taught[:8], "monitor": {"temperature": temperature}}

    def update(params, carry, statistics, moments, progress):
        moved = parts.update(model.norm)(params, carry, statistics, moments, progress)
        return {
            **moved,
            "teacher": teacher.follow(carry["teacher"], params, moved["statistics"], options.momentum, progress),
            "queue": jnp.concatenate([statistics["newest"].astype(wide), carry["queue"][:-8]]),
        }

    def handed_on(params, carry):
        return parts.of_dicts(carry["teacher"]["params"], carry["teacher"])

    def trainable(params, progress):
        on = jax.tree.map(lambda _: True, params)
        return {**on, "prototypes": progress.step >= options.frozen_steps}

    return Method(views, init, forward, objective, update, handed_on, trainable)
