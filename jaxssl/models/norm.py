"""Normalisation that devices and micro-batches never change: over fixed groups of rows, or over groups of channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
    """How a network normalises: batch normalisation over groups of samples, or group normalisation within each sample.

    `momentum` is the share of the running statistics kept; group normalisation (Wu and He 2018) has none.
    """

    type: Literal["batch", "group"] = "batch"
    group: int = 32
    """Samples that batch normalisation takes together."""
    channel_groups: int = 32
    """Groups of channels that group normalisation makes, at most: as many as divide a layer's into two or more each."""
    epsilon: float = 1e-5
    momentum: float = 0.9

    @property
    def samples(self) -> int:
        """How many consecutive samples are normalised together: what a backbone's `group` is."""
        return self.group if self.type == "batch" else 1

    @property
    def takes_bias_away(self) -> bool:
        """Whether a bias before it is lost to the mean of its channel: rounding noise must not train it then."""
        return self.type == "batch"

    def layer(self, rows: int, dtype: Any, name: str, scale: float = 1.0) -> "GroupedBatchNorm | GroupNorm":
        """The module `(x, train)` that begins with this scale; in batch normalisation `rows` rows are one batch."""
        if self.type == "batch":
            return GroupedBatchNorm(rows, self.epsilon, dtype, scale, name=name)
        return GroupNorm(self.channel_groups, self.epsilon, dtype, scale, name=name)

    def check(self) -> None:
        """Refuse values that mean nothing, with a UserError that names the option."""
        if self.type not in ("batch", "group"):
            raise UserError(f"norm.type={self.type!r} is no normalisation: choose batch or group.")
        if self.group < 1:
            raise UserError(f"norm.group={self.group} is no group: choose at least 1 sample.")
        if self.channel_groups < 1:
            raise UserError(f"norm.channel_groups={self.channel_groups} is none: choose at least 1 group of channels.")
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
    first_scale: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "batch ... channel"], train: bool) -> Float[Array, "batch ... channel"]:
        """Normalise each channel of x; the result is in the compute type."""
        wide = parameter_type(self.dtype)
        channels = x.shape[-1:]
        scale = self.param("scale", nn.initializers.constant(self.first_scale), channels, wide)
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


class GroupNorm(nn.Module):
    """Normalisation of each sample over the image and over each of at most `groups` equal groups of channels.

    y = (x - mean) / sqrt(var + epsilon) * scale + bias, in training and otherwise alike: there are no statistics. A
    group has two channels at least: alone a channel would lose its contrast, and whatever bias comes before.
    """

    groups: int
    epsilon: float = 1e-5
    dtype: Any = jnp.float32
    first_scale: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "batch ... channel"], train: bool) -> Float[Array, "batch ... channel"]:
        """Normalise each group of channels of x; the result is in the compute type."""
        del train
        wide, channels = parameter_type(self.dtype), x.shape[-1]
        scale = self.param("scale", nn.initializers.constant(self.first_scale), (channels,), wide)
        bias = self.param("bias", nn.initializers.zeros, (channels,), wide)
        most = max(1, min(self.groups, channels // 2))
        groups = max(count for count in range(1, most + 1) if channels % count == 0)
        if x[0].size < 2:
            raise UserError("Group normalisation has one value a sample, which has no variance: widen the layer.")
        values = island(x)
        centred = values - _means(values, groups)
        slope = scale * jax.lax.rsqrt(_means(jnp.square(centred), groups) + self.epsilon)
        return (centred * slope + bias).astype(self.dtype)


def _means(x: Float[Array, "batch ... channel"], groups: int) -> Float[Array, "batch ... channel"]:
    """For each channel the mean over the image and the channels of its group; the image keeps axes of size 1.

    The image is averaged first, so that the many values of x are never arranged anew by group.
    """
    x = x.mean(tuple(range(1, x.ndim - 1)), keepdims=True)
    of_group = x.reshape(*x.shape[:-1], groups, -1).mean(-1)
    return jnp.repeat(of_group, x.shape[-1] // groups, axis=-1)


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
