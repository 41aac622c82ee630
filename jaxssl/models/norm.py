"""Batch normalisation over fixed groups of rows, so that devices and micro-batches never change the result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxssl.errors import UserError
from jaxssl.numerics import island


def parameter_type(dtype: Any) -> Any:
    """The type that parameters have when computing in `dtype`: at least float32."""
    return jnp.promote_types(dtype, jnp.float32)


@dataclass(frozen=True)
class Norm:
    """Batch normalisation over groups of `group` samples; `momentum` is the share of the running statistics kept."""

    group: int = 32
    epsilon: float = 1e-5
    momentum: float = 0.9

    def check(self) -> None:
        """Refuse values that mean nothing, with a UserError that names the option."""
        if self.group < 1:
            raise UserError(f"norm.group={self.group} is no group: choose at least 1 sample.")
        if self.epsilon <= 0.0:
            raise UserError(f"norm.epsilon={self.epsilon} would divide by zero: choose a positive number such as 1e-5.")
        if not 0.0 <= self.momentum < 1.0:
            raise UserError(f"norm.momentum={self.momentum} would never learn: choose a number from 0 to below 1.")


class GroupedBatchNorm(nn.Module):
    """Batch normalisation in which each `rows` consecutive rows of the leading axis are a batch of their own.

    y = (x - mean) / sqrt(var + epsilon) * scale + bias, the mean and variance being those of the group in training and
    those of the collection "statistics" otherwise. Training leaves in the collection "moments" the sums over groups of
    the mean and of the unbiased variance, and the number of groups: the moments of micro-batches add.
    """

    rows: int
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch ... channel"], train: bool) -> Float[Array, "batch ... channel"]:
        """Normalise each channel of x; the result is in the compute type."""
        wide = parameter_type(self.dtype)
        channels = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, channels, wide)
        bias = self.param("bias", nn.initializers.zeros, channels, wide)
        if self.is_initializing() or not train:
            running_mean = self.variable("statistics", "mean", jnp.zeros, channels, wide).value
            running_var = self.variable("statistics", "var", jnp.ones, channels, wide).value
            if not train:
                slope = scale * jax.lax.rsqrt(running_var + self.epsilon)
                return (island(x) * slope + (bias - running_mean * slope)).astype(self.dtype)
        groups = island(self._grouped(x))
        axes = tuple(range(1, groups.ndim - 1))
        mean = groups.mean(axes, keepdims=True)
        var = jnp.square(groups - mean).mean(axes, keepdims=True)
        self._add_moments(mean.reshape(-1, *channels), var.reshape(-1, *channels), x.size // mean.size)
        normalised = (groups - mean) * (scale * jax.lax.rsqrt(var + self.epsilon)) + bias
        return normalised.reshape(x.shape).astype(self.dtype)

    def _grouped(self, x: jax.Array) -> jax.Array:
        if x.shape[0] % self.rows:
            raise UserError(
                f"A batch of {x.shape[0]} rows cannot be normalised in groups of {self.rows}: "
                "choose a (micro-)batch that the group size divides, or another norm.group."
            )
        return x.reshape(-1, self.rows, *x.shape[1:])

    def _add_moments(self, mean: jax.Array, var: jax.Array, count: int) -> None:
        """Add the sums over groups of mean [G, C] and biased variance [G, C] of `count` values to "moments"."""
        if count < 2:
            raise UserError(
                "Batch normalisation has one value a channel, which has no variance: "
                "raise norm.group or the image size, or choose a network of fewer levels."
            )
        if not self.is_mutable_collection("moments"):
            return
        sums = {
            "mean": mean.sum(0),
            "var": var.sum(0) * (count / (count - 1)),
            "count": jnp.asarray(mean.shape[0], mean.dtype),
        }
        for name, value in sums.items():
            total = self.variable("moments", name, jnp.zeros_like, value)
            if not self.is_initializing():
                total.value += value


def running(statistics: Mapping[str, Any], moments: Mapping[str, Any], momentum: float) -> dict[str, Any]:
    """Move running statistics once: s <- momentum s + (1 - momentum) (sum over groups / number of groups).

    Both are collections as a module gives them, or dicts of such; a module without moments keeps its statistics.
    """
    if "count" in moments:
        return {
            name: momentum * old + (1 - momentum) * moments[name] / moments["count"] for name, old in statistics.items()
        }
    return {
        name: running(child, moments[name], momentum) if name in moments else child
        for name, child in statistics.items()
    }
