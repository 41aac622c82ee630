"""Between images and the tokens of their patches, which do not overlap: one matrix product either way."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxssl.models.features import Features
from jaxssl.models.norm import parameter_type
from jaxssl.models.products import along_channels
from jaxssl.models.transformer import SMALL_NORMAL


class Patches(nn.Module):
    """Each patch of `size` = (P, Q) pixels to `width` channels, the patches row by row.

    out[h W + w, d] = sum_ijc x[h P + i, w Q + j, c] kernel[i, j, c, d] + bias[d], W being the patches in a row.
    """

    size: tuple[int, int]
    width: int
    dtype: Any

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], visible: Int[Array, "batch chosen"] | None = None
    ) -> Float[Array, "batch token out"]:
        """Give the tokens of all patches, or of the visible ones alone, in the compute type."""
        wide = parameter_type(self.dtype)
        batch, height, width, channels = images.shape
        kernel = self.param("kernel", SMALL_NORMAL, (*self.size, channels, self.width), wide)
        bias = self.param("bias", nn.initializers.zeros, (self.width,), wide)
        cut = (batch, height // self.size[0], self.size[0], width // self.size[1], self.size[1], channels)
        x = images.astype(self.dtype).reshape(cut).swapaxes(2, 3).reshape(batch, -1, *self.size, channels)
        if visible is not None:
            x = jnp.take_along_axis(x, visible[:, :, None, None, None], axis=1)
        pixels = x.reshape(batch, -1, kernel[..., 0].size)
        return along_channels(pixels, kernel.astype(self.dtype).reshape(-1, self.width)) + bias.astype(self.dtype)


class Expand(nn.Module):
    """Each place of a map to the `size` = (P, Q) pixels of its patch, with `width` channels.

    out[h P + i, w Q + j, c] = sum_d x[h, w, d] kernel[d, i, j, c] + bias[i, j, c].
    """

    size: tuple[int, int]
    width: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "batch h w depth"]) -> Float[Array, "batch height width out"]:
        """Give the larger map, in the compute type."""
        return _expanded(self, x, self.size, self.width)


class PatchPixels(nn.Module):
    """The coarsest map to the pixels of its patches, as `Expand` does it: the lightest of decoders (SimMIM)."""

    size: tuple[int, int]
    channels: int
    dtype: Any

    @nn.compact
    def __call__(self, features: Features, train: bool) -> tuple[jax.Array]:
        """Give one map, of the image's size, in the compute type."""
        del train
        return (_expanded(self, features.maps[-1], self.size, self.channels),)


def _expanded(
    module: Expand | PatchPixels, x: Float[Array, "batch h w depth"], size: tuple[int, int], width: int
) -> Float[Array, "batch height width out"]:
    wide, (batch, h, w, depth), patch = parameter_type(module.dtype), x.shape, (*size, width)
    kernel = module.param("kernel", SMALL_NORMAL, (depth, *patch), wide)
    bias = module.param("bias", nn.initializers.zeros, patch, wide)
    pixels = along_channels(x, kernel.astype(module.dtype)) + bias.astype(module.dtype)
    return pixels.swapaxes(2, 3).reshape(batch, h * size[0], w * size[1], width)
