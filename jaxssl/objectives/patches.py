"""Images as grids of patches that do not overlap, counted row by row."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

Side = int | tuple[int, int]
"""Of a patch in pixels: of a square one, or height and width."""


def sides(patch: Side) -> tuple[int, int]:
    """Height and width of a patch."""
    return (patch, patch) if isinstance(patch, int) else patch


def patchify(images: Shaped[Array, "batch y x channel"], patch: Side) -> Shaped[Array, "batch patches values"]:
    """Cut images into patches, row by row; the values of one run over y, then x, then channel.

    >>> patchify(jnp.arange(8).reshape(1, 2, 4, 1), 2).tolist()
    [[[0, 1, 4, 5], [2, 3, 6, 7]]]
    """
    (batch, height, width, channels), (rows, columns) = images.shape, sides(patch)
    if height % rows or width % columns:
        raise ValueError(f"images of {height} x {width} pixels do not divide into patches of {patch}")
    tiles = images.reshape(batch, height // rows, rows, width // columns, columns, channels).swapaxes(2, 3)
    return tiles.reshape(batch, -1, rows * columns * channels)


def unpatchify(
    values: Shaped[Array, "batch patches values"], grid: tuple[int, int], patch: Side
) -> Shaped[Array, "batch y x channel"]:
    """Put patches together again: the inverse of `patchify`.

    >>> unpatchify(jnp.array([[[0, 1, 4, 5], [2, 3, 6, 7]]]), (1, 2), 2)[0, :, :, 0].tolist()
    [[0, 1, 2, 3], [4, 5, 6, 7]]
    """
    (height, width), (rows, columns) = grid, sides(patch)
    tiles = values.reshape(len(values), height, width, rows, columns, -1).swapaxes(2, 3)
    return tiles.reshape(len(values), height * rows, width * columns, -1)


def patches_to_pixels(
    mask: Shaped[Array, "*batch patches"], grid: tuple[int, int], patch: Side
) -> Shaped[Array, "*batch y x"]:
    """Spread a mask over a grid of patches onto the pixels of each.

    >>> patches_to_pixels(jnp.array([1, 0]), (1, 2), 2).tolist()
    [[1, 1, 0, 0], [1, 1, 0, 0]]
    """
    rows, columns = sides(patch)
    return mask.reshape(*mask.shape[:-1], *grid).repeat(rows, axis=-2).repeat(columns, axis=-1)


def share_by_patch(pixels: Shaped[Array, "batch y x"], patch: Side) -> Float[Array, "batch patches"]:
    """The share of each patch's pixels that a mask holds."""
    return patchify(pixels[..., None] != 0, patch).mean(-1, dtype=jnp.float32)
