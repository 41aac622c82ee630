"""A convolutional decoder for any encoder: from the coarsest map back to the image's size, level by level."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxssl.errors import UserError
from jaxssl.models.features import Features
from jaxssl.models.norm import Norm, parameter_type
from jaxssl.models.products import along_channels

SLOPE = 0.01
"""Of a leaky ReLU below zero, where nothing else is said."""
# Nothing bends the values after these layers, so their variance is kept without a factor for what a ReLU takes.
LINEAR = nn.initializers.lecun_normal()


def he_normal(slope: float) -> nn.initializers.Initializer:
    """He et al. 2015 for a leaky ReLU: keeps the variance of activations through convolution and nonlinearity."""
    return nn.initializers.variance_scaling(2.0 / (1.0 + slope**2), "fan_in", "normal")


class ConvNorm(nn.Module):
    """3x3 convolution with bias, normalisation if any, leaky ReLU."""

    width: int
    stride: int
    norm: Norm | None
    rows: int
    dtype: Any
    slope: float = SLOPE

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"], train: bool) -> Float[Array, "batch h w c"]:
        """Apply to x; with stride 2 the image is halved."""
        x = nn.Conv(
            self.width,
            (3, 3),
            strides=self.stride,
            padding=1,
            use_bias=False,
            kernel_init=he_normal(self.slope),
            dtype=self.dtype,
            param_dtype=parameter_type(self.dtype),
            name="conv",
        )(x)
        bias = self.param("bias", nn.initializers.zeros, (self.width,), parameter_type(self.dtype))
        if train and self.norm is not None and self.norm.takes_bias_away:
            bias = jax.lax.stop_gradient(bias)
        x = x + bias.astype(x.dtype)
        if self.norm is not None:
            x = self.norm.layer(self.rows, self.dtype, name="norm")(x, train)
        return nn.leaky_relu(x, self.slope)


class Block(nn.Module):
    """Two ConvNorms; the stride is that of the first."""

    width: int
    stride: int
    norm: Norm | None
    rows: int
    dtype: Any
    slope: float = SLOPE

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"], train: bool) -> Float[Array, "batch h w c"]:
        """Apply both to x."""
        for name, stride in (("first", self.stride), ("second", 1)):
            x = ConvNorm(self.width, stride, self.norm, self.rows, self.dtype, self.slope, name=name)(x, train)
        return x


class Upsample(nn.Module):
    """2x2 transposed convolution with stride 2.

    out[2h+i, 2w+j, d] = sum_c x[h, w, c] kernel[c, i, j, d] + bias[d]: the strides do not overlap, so it is one matrix
    product, without the zeros that a dilated convolution would multiply by.
    """

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch h w c"]:
        """Double the image x."""
        kernel = self.param("kernel", kernel_up, (x.shape[-1], 2, 2, self.width), parameter_type(self.dtype))
        bias = self.param("bias", nn.initializers.zeros, (self.width,), parameter_type(self.dtype))
        batch, height, width, _ = x.shape
        x = along_channels(x, kernel.astype(self.dtype)) + bias.astype(self.dtype)
        return x.swapaxes(2, 3).reshape(batch, 2 * height, 2 * width, self.width)


def kernel_up(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Draw an upsampling kernel that gives its four pixels the same value (Aitken et al. 2017).

    Drawn one by one they begin as a checkerboard, and now and then training from few labels ends in one: a structure
    that is learnt on every other column alone. Each output pixel sees one input pixel: the fan-in is the channels.
    """
    channels, height, width, features = shape
    one = LINEAR(key, (channels, features), dtype)
    return jnp.broadcast_to(one[:, None, None, :], (channels, height, width, features))


class Decoder(nn.Module):
    """For each width, from the coarsest: double the image, join the encoder's map of that size, apply one block.

    `widths` are those of the maps from fine to coarse; the finest has 2 ** len(widths) times the side of the encoder's
    coarsest map. An encoder need not have a map of every size: where it has none there is nothing to join. Without
    `norm` nothing is normalised; the `remat` finest levels are recomputed in the backward pass.
    """

    widths: tuple[int, ...]
    norm: Norm | None
    rows: int
    dtype: Any
    remat: int = 0
    slope: float = SLOPE

    @nn.compact
    def __call__(self, features: Features, train: bool) -> tuple[jax.Array, ...]:
        """Give maps [B, h, w, width], finest first."""
        skips = self._by_level(features)
        x = features.maps[-1]
        maps: list[jax.Array] = []
        for level in reversed(range(len(self.widths))):
            # Doubling and joining are recomputed with the block: their results are the widest of a level.
            rise = nn.remat(_rise, static_argnums=(1, 4)) if level < self.remat else _rise
            x = rise(self, level, x, skips.get(level), train)
            maps.insert(0, x)
        return tuple(maps)

    def _by_level(self, features: Features) -> dict[int, jax.Array]:
        """The encoder's maps by the level at which they are joined."""
        *finer, coarsest = features.maps
        levels, (height, width) = len(self.widths), coarsest.shape[1:3]
        sizes: list[tuple[int, ...]] = [(height << levels - level, width << levels - level) for level in range(levels)]
        for skip in finer:
            if skip.shape[1:3] not in sizes:
                raise UserError(
                    f"A decoder of {levels} widths needs image sides divisible by {2**levels}: doubling the coarsest "
                    f"map, {height}x{width}, never gives this encoder's map of {skip.shape[1]}x{skip.shape[2]}; "
                    "choose another size, or a method without a decoder."
                )
        return {sizes.index(skip.shape[1:3]): skip for skip in finer}


def _rise(decoder: Decoder, level: int, x: jax.Array, skip: jax.Array | None, train: bool) -> jax.Array:
    """One level up: double x, join the encoder's map, and apply the level's block."""
    width, dtype = decoder.widths[level], decoder.dtype
    x = Upsample(width, dtype, name=f"up{level}")(x)
    x = x if skip is None else jnp.concatenate([x, skip], axis=-1)
    return Block(width, 1, decoder.norm, decoder.rows, dtype, decoder.slope, name=f"level{level}")(x, train)


def check_widths(widths: tuple[int, ...], stride: int) -> None:
    """Refuse `model.decoder_widths` that do not lead from a map of 1/stride of the image's side back to the image."""
    if min(widths, default=1) < 1:
        raise UserError(f"model.decoder_widths {widths} must be at least 1 each.")
    if 2 ** len(widths) != stride:
        raise UserError(
            f"model.decoder_widths {widths} doubles the coarsest map {len(widths)} times, but this network makes an "
            f"image {stride} times smaller: give as many widths as there are halvings, finest first."
        )
