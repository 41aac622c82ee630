"""Moving an image and its mask by one affine map, drawn in millimetres so that pixels need not be square."""

import zlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxssl.augment.options import Augment


def draw_affine(
    key: Key[Array, ""], options: Augment, shape: tuple[int, int], spacing: Float[Array, "2"]
) -> Float[Array, "2 3"]:
    """Draw the map of a sample: from pixels (y, x, 1) of the view to pixels (y, x) of the image.

    It depends on the sample's key only, so geometric targets can be moved with the image by drawing it again.
    """
    draws = jax.random.uniform(jax.random.fold_in(key, zlib.crc32(b"affine")), (6,), spacing.dtype)
    low, high = options.scale
    return affine(
        shift=(2.0 * draws[0:2] - 1.0) * options.translation,
        degrees=(2.0 * draws[2] - 1.0) * options.rotation,
        scale=low + draws[3] * (high - low),
        flips=draws[4:6] < options.flip,
        shape=shape,
        spacing=spacing,
    )


def affine(
    shift: Float[Array, "2"],
    degrees: Float[Array, ""],
    scale: Float[Array, ""],
    flips: Array,
    shape: tuple[int, int],
    spacing: Float[Array, "2"],
) -> Float[Array, "2 3"]:
    """Pixels of the view to pixels of the image; the image is flipped (along y, x), then turned counter-clockwise,
    enlarged and shifted (y, x in mm) about its centre.

    In mm about the centre: image = flip @ turn^-1 @ (view - shift) / scale.
    """
    angle = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turn_back = jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])])
    in_mm = jnp.where(flips, -1.0, 1.0)[:, None] * turn_back / scale
    in_pixels = in_mm * spacing[None, :] / spacing[:, None]
    centre = (jnp.asarray(shape, spacing.dtype) - 1.0) / 2.0
    offset = centre - (in_pixels * (centre + shift / spacing)).sum(axis=1)
    return jnp.concatenate([in_pixels, offset[:, None]], axis=1)


def resample(
    matrix: Float[Array, "2 3"], image: Float[Array, "y x channel"], mask: Int[Array, "y x"] | None
) -> tuple[Float[Array, "y x channel"], Int[Array, "y x"] | None]:
    """Look the view up in the image (bilinear) and in the mask (nearest), at the coordinates that `matrix` gives.

    Beyond its edge the image goes on as its minimum in each channel (air), the mask as 0 (background).
    """
    height, width, channels = image.shape
    rows = jnp.arange(height, dtype=matrix.dtype)[:, None]
    columns = jnp.arange(width, dtype=matrix.dtype)
    y, x = (row[0] * rows + row[1] * columns + row[2] for row in matrix)
    top, left = jnp.floor(y), jnp.floor(x)

    def look_up(flat: jax.Array, y: jax.Array, x: jax.Array, outside: jax.Array | int) -> jax.Array:
        row, column = y.astype(jnp.int32), x.astype(jnp.int32)
        place = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        inside = inside.reshape(inside.shape + (1,) * (flat.ndim - 1))
        return jnp.where(inside, flat.at[place].get(mode="promise_in_bounds"), outside)

    pixels, air = image.reshape(-1, channels), image.min(axis=(0, 1))
    down, right = (y - top)[..., None], (x - left)[..., None]
    above = (1.0 - right) * look_up(pixels, top, left, air) + right * look_up(pixels, top, left + 1, air)
    below = (1.0 - right) * look_up(pixels, top + 1, left, air) + right * look_up(pixels, top + 1, left + 1, air)
    view = ((1.0 - down) * above + down * below).astype(image.dtype)
    if mask is None:
        return view, None
    return view, look_up(mask.reshape(-1), jnp.floor(y + 0.5), jnp.floor(x + 0.5), 0).astype(mask.dtype)
