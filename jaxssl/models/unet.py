"""The 2D U-Net of study B (de Mooij et al. 2024) and a small variant."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxssl.errors import UserError
from jaxssl.models.features import Features, pooled
from jaxssl.models.norm import GroupedBatchNorm, Norm, parameter_type

SLOPE = 0.01
# He et al. 2015 for a leaky ReLU: keeps the variance of activations through convolution and nonlinearity.
HE_NORMAL = nn.initializers.variance_scaling(2.0 / (1.0 + SLOPE**2), "fan_in", "normal")
# Nothing bends the values after these layers, so their variance is kept without the factor 2.
LINEAR = nn.initializers.lecun_normal()


class ConvNorm(nn.Module):
    """3x3 convolution with bias, grouped batch normalisation, leaky ReLU of slope 0.01."""

    width: int
    stride: int
    norm: Norm
    rows: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"], train: bool) -> Float[Array, "batch h w c"]:
        """Apply to x; with stride 2 the image is halved."""
        x = nn.Conv(
            self.width,
            (3, 3),
            strides=self.stride,
            padding=1,
            use_bias=False,
            kernel_init=HE_NORMAL,
            dtype=self.dtype,
            param_dtype=parameter_type(self.dtype),
            name="conv",
        )(x)
        bias = self.param("bias", nn.initializers.zeros, (self.width,), parameter_type(self.dtype))
        # Batch statistics take the bias away again: its gradient is zero, and rounding noise must not train it.
        bias = jax.lax.stop_gradient(bias) if train else bias
        x = GroupedBatchNorm(self.rows, self.norm.epsilon, self.dtype, name="norm")(x + bias.astype(x.dtype), train)
        return nn.leaky_relu(x, SLOPE)


class Block(nn.Module):
    """Two ConvNorms; the stride is that of the first."""

    width: int
    stride: int
    norm: Norm
    rows: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"], train: bool) -> Float[Array, "batch h w c"]:
        """Apply both to x."""
        x = ConvNorm(self.width, self.stride, self.norm, self.rows, self.dtype, name="first")(x, train)
        return ConvNorm(self.width, 1, self.norm, self.rows, self.dtype, name="second")(x, train)


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
        x = jnp.einsum("bhwc,cijd->bhiwjd", x, kernel.astype(self.dtype)) + bias.astype(self.dtype)
        return x.reshape(batch, 2 * height, 2 * width, self.width)


def kernel_up(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Draw an upsampling kernel: each output pixel sees one input pixel, so the fan-in is the channels alone."""
    return LINEAR(key, (shape[0], shape[1] * shape[2] * shape[3]), dtype).reshape(shape)


@dataclass(frozen=True)
class UNet:
    """Widths of the levels from fine to coarse, and normalisation.

    The defaults are study B: 33.47 M parameters with its six output layers, 14.16 M of them in the encoder.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 512, 512, 512)
    norm: Norm = field(default_factory=Norm)
    remat: int = 0
    """How many of the finest levels are recomputed in the backward pass: they hold most of the memory."""

    @classmethod
    def small(cls) -> "UNet":
        """A network that trains on two CPU cores in minutes."""
        return cls(widths=(8, 16, 32, 64, 128), norm=Norm(group=16))

    @property
    def group(self) -> int:
        """How many consecutive samples are normalised together."""
        return self.norm.group

    def encoder(self, dtype: Any, rows: int) -> "Encoder":
        """The module `(images, train) -> Features`, one map a level."""
        return Encoder(self, dtype, rows)

    def decoder(self, dtype: Any, rows: int) -> "Decoder":
        """The module `(features, train) -> maps`, finest first."""
        return Decoder(self, dtype, rows)

    def check(self) -> None:
        """Refuse a number of levels that means nothing."""
        if not 0 <= self.remat <= len(self.widths):
            raise UserError(f"model.remat is a number of levels from 0 to {len(self.widths)}, not {self.remat}.")

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse widths that make no network, and an image size [y, x] that it cannot halve and double."""
        if len(self.widths) < 2:
            raise UserError(f"A U-Net needs at least two levels, not widths {self.widths}.")
        factor = 2 ** (len(self.widths) - 1)
        if any(side % factor for side in size):
            raise UserError(
                f"A U-Net of {len(self.widths)} levels needs image sides divisible by {factor}, "
                f"not {size[0]}x{size[1]}: choose another size, or fewer widths."
            )


class Encoder(nn.Module):
    """The left half of the U: one block a level, each after the first halving the image; nothing is drawn at random."""

    options: UNet
    dtype: Any
    rows: int

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width channel"],
        train: bool,
        keys: Key[Array, " batch"] | None = None,
    ) -> Features:
        """Give the maps of all levels and the average of the coarsest."""
        del keys
        self.options.check_size((images.shape[1], images.shape[2]))
        maps = []
        x = images.astype(self.dtype)
        for level, width in enumerate(self.options.widths):
            stride = 2 if level else 1
            block = nn.remat(Block, static_argnums=(2,)) if level < self.options.remat else Block
            x = block(width, stride, self.options.norm, self.rows, self.dtype, name=f"level{level}")(x, train)
            maps.append(x)
        return Features(tuple(maps), pooled(x))


class Decoder(nn.Module):
    """The right half of the U: doubling, joining the encoder's map, one block a level."""

    options: UNet
    dtype: Any
    rows: int

    @nn.compact
    def __call__(self, features: Features, train: bool) -> tuple[jax.Array, ...]:
        """Give maps [B, h, w, width], finest first."""
        x = features.maps[-1]
        maps: list[jax.Array] = []
        for level in reversed(range(len(self.options.widths) - 1)):
            # Doubling and joining are recomputed with the block: their results are the widest of a level.
            rise = nn.remat(_rise, static_argnums=(1, 4)) if level < self.options.remat else _rise
            x = rise(self, level, x, features.maps[level], train)
            maps.insert(0, x)
        return tuple(maps)


def _rise(decoder: Decoder, level: int, x: jax.Array, skip: jax.Array, train: bool) -> jax.Array:
    """One level up: double x, join the encoder's map, and apply the level's block."""
    options, dtype = decoder.options, decoder.dtype
    x = Upsample(options.widths[level], dtype, name=f"up{level}")(x)
    x = jnp.concatenate([x, skip], axis=-1)
    return Block(options.widths[level], 1, options.norm, decoder.rows, dtype, name=f"level{level}")(x, train)
