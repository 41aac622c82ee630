"""Moving an image and its mask by one affine map, drawn in millimetres so that pixels need not be square."""

import math
import zlib
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxssl.augment.options import Augment


def draw_affine(
    key: Key[Array, ""],
    options: Augment,
    shape: tuple[int, int],
    spacing: Float[Array, "2"],
    size: tuple[int, int] | None = None,
) -> Float[Array, "2 3"]:
    """Draw the map of a sample: from pixels (y, x, 1) of a view of `size` to pixels (y, x) of an image of `shape`.

    It depends on the sample's key only, so geometric targets can be moved with the image by drawing it again. With
    `options.crop` a window of the image is first resized to the view; what follows moves the result, as if its pixels
    had kept their spacing.
    """
    size = shape if size is None else size
    draws = jax.random.uniform(jax.random.fold_in(key, zlib.crc32(b"affine")), (6,), spacing.dtype)
    low, high = options.scale
    chances = [options.flip if axis in options.flip_axes else 0.0 for axis in ("y", "x")]
    matrix = affine(
        shift=(2.0 * draws[0:2] - 1.0) * options.translation,
        degrees=(2.0 * draws[2] - 1.0) * options.rotation,
        scale=low + draws[3] * (high - low),
        flips=draws[4:6] < jnp.asarray(chances, spacing.dtype),
        shape=shape if options.crop is None else size,
        spacing=spacing,
        size=size,
    )
    if options.crop is None:
        return matrix
    step, corner = draw_window(key, options.crop, options.aspect, shape, size, spacing.dtype)
    return (step[:, None] * matrix).at[:, 2].add(corner)


def affine(
    shift: Float[Array, "2"],
    degrees: Float[Array, ""],
    scale: Float[Array, ""],
    flips: Array,
    shape: tuple[int, int],
    spacing: Float[Array, "2"],
    size: tuple[int, int] | None = None,
) -> Float[Array, "2 3"]:
    """Pixels of the view to pixels of the image; the image is flipped (along y, x), then turned counter-clockwise,
    enlarged and shifted (y, x in mm) about its centre, of which a view of another size shows the surroundings.

    In mm about the centre: image = flip @ turn^-1 @ (view - shift) / scale.
    """
    angle = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turn_back = jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])])
    in_mm = jnp.where(flips, -1.0, 1.0)[:, None] * turn_back / scale
    in_pixels = in_mm * spacing[None, :] / spacing[:, None]
    centre = (jnp.asarray(shape, spacing.dtype) - 1.0) / 2.0
    # The view begins at a whole pixel of the image: half a pixel would blur every one.
    begin = [(whole - part) // 2 for whole, part in zip(shape, shape if size is None else size, strict=True)]
    in_view = centre - jnp.asarray(begin, spacing.dtype)
    offset = centre - (in_pixels * (in_view + shift / spacing)).sum(axis=1)
    return jnp.concatenate([in_pixels, offset[:, None]], axis=1)


def draw_window(
    key: Key[Array, ""],
    crop: tuple[float, float],
    aspect: tuple[float, float],
    shape: tuple[int, int],
    size: tuple[int, int],
    dtype: Any,
) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
    """Draw the window of a random resized crop: image pixel = step * view pixel + corner, for y and x.

    Its share of the image's area is uniform in `crop`, its width over its height, in units of the view's own, is
    log-uniform over that part of `aspect` with which the window fits into the image; its place is uniform. Areas are
    those of whole pixels, and the centres of the view's pixels lie between those of the image's, where it is known.
    """
    draws = jax.random.uniform(jax.random.fold_in(key, zlib.crc32(b"crop")), (4,), dtype)
    # A view with more pixels than the image ends at the centres of the image's outermost ones, beyond which is air.
    height, width = (
        side if view <= side else view * (side - 1) / (view - 1) for side, view in zip(shape, size, strict=True)
    )
    area = jnp.minimum((crop[0] + draws[0] * (crop[1] - crop[0])) * (shape[0] * shape[1]), height * width)
    # sqrt(area / ratio) <= height and sqrt(area * ratio) <= width
    narrow, wide = jnp.log(area / height**2), jnp.log(width**2 / area)
    low, high = (jnp.clip(math.log(end * size[1] / size[0]), narrow, wide) for end in aspect)
    ratio = jnp.exp(low + draws[1] * (high - low))
    window = jnp.stack([jnp.sqrt(area / ratio), jnp.sqrt(area * ratio)])
    step = window / jnp.asarray(size, dtype)
    margin = jnp.maximum((1.0 - step) / 2.0, 0.0)
    room = jnp.maximum(jnp.asarray(shape, dtype) - window - 2.0 * margin, 0.0)
    return step, margin + draws[2:4] * room + (step - 1.0) / 2.0


def resample(
    matrix: Float[Array, "2 3"],
    image: Float[Array, "y x channel"],
    mask: Int[Array, "y x"] | None,
    size: tuple[int, int] | None = None,
) -> tuple[Float[Array, "v u channel"], Int[Array, "v u"] | None]:
    """Look a view of `size` up in the image (bilinear) and in the mask (nearest), where `matrix` says.

    Beyond its edge the image goes on as its minimum in each channel (air), the mask as 0 (background).
    """
    height, width, channels = image.shape
    size = (height, width) if size is None else size
    rows = jnp.arange(size[0], dtype=matrix.dtype)[:, None]
    columns = jnp.arange(size[1], dtype=matrix.dtype)
    y, x = (row[0] * rows + row[1] * columns + row[2] for row in matrix)
    top, left = jnp.floor(y), jnp.floor(x)

    def look_up(bordered: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
        row, column = (jnp.clip(place.astype(jnp.int32) + 1, 0, side + 1) for place, side in ((y, height), (x, width)))
        flat = bordered.reshape(-1, *bordered.shape[2:])
        return flat.at[row * (width + 2) + column].get(mode="promise_in_bounds")

    air = image.min(axis=(0, 1))
    pixels = jnp.broadcast_to(air, (height + 2, width + 2, channels)).at[1:-1, 1:-1].set(image)
    down, right = (y - top)[..., None], (x - left)[..., None]
    above = (1.0 - right) * look_up(pixels, top, left) + right * look_up(pixels, top, left + 1)
    below = (1.0 - right) * look_up(pixels, top + 1, left) + right * look_up(pixels, top + 1, left + 1)
    view = ((1.0 - down) * above + down * below).astype(image.dtype)
    if mask is None:
        return view, None
    return view, look_up(jnp.pad(mask, 1), jnp.floor(y + 0.5), jnp.floor(x + 0.5))
