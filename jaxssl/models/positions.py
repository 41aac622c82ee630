"""Where a patch lies, as a vector that is added to its token: learnt, or fixed sines and cosines."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from jaxssl.models.transformer import SMALL_NORMAL


class Positions(nn.Module):
    """A learnt vector for each place of the grid that the parameters were made for, and one for the class token."""

    has_class: bool
    dtype: Any

    @nn.compact
    def __call__(self, height: int, width: int, channels: int) -> tuple[jax.Array, jax.Array | None]:
        """Positions [height, width, channels], interpolated for another grid, and the class token's [channels]."""
        if self.has_variable("params", "grid"):
            grid = self.get_variable("params", "grid")
        else:
            grid = self.param("grid", SMALL_NORMAL, (height, width, channels), self.dtype)
        of_class = self.param("token", SMALL_NORMAL, (channels,), self.dtype) if self.has_class else None
        return interpolated(grid, height, width), of_class


def interpolated(grid: Float[Array, "y x channel"], height: int, width: int) -> Float[Array, "height width channel"]:
    """Positions of one grid for another; for its own they stay as they are, to the bit."""
    if grid.shape[:2] == (height, width):
        return grid
    return jax.image.resize(grid, (height, width, grid.shape[-1]), "bicubic", antialias=True)


def sine_cosine(height: int, width: int, channels: int, dtype: Any) -> Float[Array, "height width channel"]:
    """Fixed positions, of the column x in the first half of the channels and of the row y in the second (He et al.).

    A half is sin(f_k x) for k = 0, 1, ..., then cos(f_k x), with f_k = 10000^(-k / n) for n = channels / 4.
    """
    if channels % 4:
        raise ValueError(f"Sines and cosines of rows and columns need channels in fours, not {channels}.")
    frequencies = 10_000.0 ** (-np.arange(channels // 4) / (channels // 4))

    def along(count: int) -> np.ndarray:
        angles = np.arange(count)[:, None] * frequencies
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)

    shape = (height, width, channels // 2)
    halves = [np.broadcast_to(along(width), shape), np.broadcast_to(along(height)[:, None], shape)]
    return jnp.asarray(np.concatenate(halves, axis=-1), dtype)
