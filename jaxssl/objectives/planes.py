"""The pretexts of imaging planes, targets from geometry alone: where other views cut an image, and where in its stack
the image lies (study C, Zhang et al. 2024, arXiv 2403.16499)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxssl.geometry import Line, Plane, line
from jaxssl.numerics import island


class Heatmaps(NamedTuple):
    """One map a guest, 1 on its line and falling off; only where `valid` is there a line to be found.

    Whatever is predicted, a map that is not valid costs nothing:

    >>> maps = Heatmaps(values=jnp.zeros([2, 2, 1]), valid=jnp.array([False]))
    >>> float(heatmap_loss(jnp.ones([1, 2, 2, 1]), maps.values[None], maps.valid[None]))
    0.0
    """

    values: Float[Array, "y x guest"]
    valid: Bool[Array, " guest"]


def line_heatmaps(
    host: Plane,
    guests: Plane,
    present: Bool[Array, " guest"],
    sigma: float | Float[Array, " guest"],
    matrix: Float[Array, "2 3"],
    size: tuple[int, int],
) -> Heatmaps:
    """The lines in which the planes of `guests` cut one image, drawn on a view of it of `size` (y, x) pixels.

        h(p) = exp(-d(p)^2 / (2 sigma^2)),  d(p) = abs(A x + B y + C) / sqrt((n_g . x_axis)^2 + (n_g . y_axis)^2)

    with (y, x) = matrix (p, 1) the pixel of the image that pixel p of the view shows, and A, B, C as in
    `geometry.line`: d is the distance in mm within the host's plane, whatever the shape of its pixels. So a map is the
    image's own, moved and enlarged with it. Not valid are guests that are absent, parallel or of no known width, and
    lines that cross no pixel of the view in which the image is seen.

    A sagittal plane cuts a row of pixels, 1 mm apart, in the third; the next ones are at exp(-1/2) and exp(-2):

    >>> x, y, z = jnp.eye(3)
    >>> axial = Plane(jnp.zeros(3), x, y, spacing=jnp.ones(2), shape=jnp.array([1, 5]))
    >>> sagittal = Plane(2 * x[None], y[None], z[None], spacing=jnp.ones([1, 2]), shape=jnp.array([[5, 5]]))
    >>> draw = jax.jit(line_heatmaps, static_argnames="size")
    >>> maps = draw(axial, sagittal, jnp.array([True]), sigma=1.0, matrix=jnp.eye(2, 3), size=(1, 5))
    >>> print(maps.values[0, :, 0].round(2))
    [0.14 0.61 1.   0.61 0.14]
    """
    rows, columns = jnp.arange(size[0], dtype=matrix.dtype)[:, None], jnp.arange(size[1], dtype=matrix.dtype)
    y, x = (row[0] * rows + row[1] * columns + row[2] for row in matrix)
    seen = (y >= -0.5) & (y <= host.shape[0] - 0.5) & (x >= -0.5) & (x <= host.shape[1] - 0.5)

    def one(guest: Plane, present: Array, sigma: Array) -> tuple[Array, Array]:
        found = line(host, guest)
        down, right, offset = _distance(found, host.spacing, matrix)
        distance = down * rows + right * columns + offset
        # As far as the centre of a pixel can be from a line that cuts its square.
        crossed = jnp.abs(distance) <= (jnp.abs(down) + jnp.abs(right)) / 2
        valid = found.valid & present & (sigma > 0) & (crossed & seen).any()
        profile = jnp.exp(-0.5 * (distance / jnp.where(valid, sigma, 1)) ** 2)
        return jnp.where(valid, profile, 0), valid

    width = jnp.broadcast_to(jnp.asarray(sigma, matrix.dtype), present.shape)
    return Heatmaps(*jax.vmap(one, out_axes=(2, 0))(guests, present, width))


def _distance(found: Line, spacing: Float[Array, 2], matrix: Float[Array, "2 3"]) -> Float[Array, 3]:
    """(p, q, r): pixel (y, x) of the view lies p y + q x + r mm from the line, measured in the plane of the image."""
    in_mm = jnp.hypot(found.b / spacing[0], found.a / spacing[1])
    along = jnp.stack([found.b, found.a]) / jnp.where(found.valid, in_mm, 1)
    offset = found.c / jnp.where(found.valid, in_mm, 1)
    return (along[:, None] * matrix).sum(axis=0).at[2].add(offset)


def heatmap_loss(
    prediction: Float[Array, "batch y x guest"],
    target: Float[Array, "batch y x guest"],
    valid: Bool[Array, "batch guest"],
) -> Float[Array, ""]:
    """Mean squared error over the pixels of all valid heatmaps, each counting alike; 0 where none is valid.

    Two maps of one pixel, the second not valid:

    >>> float(heatmap_loss(jnp.array([[[[3.0, 5.0]]]]), jnp.zeros([1, 1, 1, 2]), jnp.array([[True, False]])))
    9.0
    """
    error = jnp.where(valid[:, None, None, :], island(prediction) - island(target), 0)
    return jnp.mean(error**2, axis=(1, 2)).sum() / jnp.maximum(valid.sum(), 1)


def location_loss(prediction: Float[Array, " batch"], position: Float[Array, " batch"]) -> Float[Array, ""]:
    """Mean squared error of the place in the stack, 0 base to 1 apex, over known ones (not nan); 0 where none is.

    >>> float(location_loss(jnp.array([0.5, 0.5, 0.9]), jnp.array([0.0, 1.0, jnp.nan])))
    0.25
    """
    known = ~jnp.isnan(position)
    error = jnp.where(known, island(prediction) - jnp.where(known, position, 0), 0)
    return jnp.sum(error**2) / jnp.maximum(known.sum(), 1)
