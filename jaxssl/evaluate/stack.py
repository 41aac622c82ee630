"""Where the slices of a stack lie and how large their voxels are, as far as its records tell."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxssl.data.record import Record
from jaxssl.geometry import PARALLEL, normal, pixel

EVEN = 0.01
"""Steps between slices that differ relatively by less are equal."""


def depths(stack: Sequence[Record]) -> Float[np.ndarray, "slices"] | None:
    """Places of the slices across their planes in mm; None where they are no stack or nobody knows.

    By the planes' places where these are known, which have to be parallel; where none is, a slice lies by the thickness
    further than the one numbered before it. A single slice is no stack, nor are slices that do not follow each other.
    """
    origins = np.stack([record.plane.origin for record in stack])
    thickness = np.array([record.thickness for record in stack])
    if np.isfinite(origins).all():
        across = np.stack([normal(record.plane) for record in stack])
        found = origins @ across[0] if (np.abs(across @ across[0]) > PARALLEL).all() else None
    elif np.isnan(origins).all() and (thickness == thickness[0]).all():
        found = thickness * [record.slice for record in stack]
    else:
        found = None
    if found is None or len(stack) < 2:
        return None
    steps = np.diff(found)
    return found if (steps > 0).all() or (steps < 0).all() else None


def grid_spacing(stack: Sequence[Record]) -> tuple[float, ...] | None:
    """Size (z, y, x) of the voxels in mm where slices are the layers of one regular grid, (y, x) of a single one.

    None where they are not, or where nobody knows: they have one size and spacing, follow at even steps, and lie above
    each other within half a pixel.
    """
    first = stack[0].plane
    y, x = map(float, first.spacing)
    if not np.isfinite([y, x]).all():
        return None
    if len(stack) == 1:
        return y, x
    places = depths(stack)
    if places is None or not all(_above(stack[0], record) for record in stack):
        return None
    steps = np.abs(np.diff(places))
    return (float(steps.mean()), y, x) if np.ptp(steps) < EVEN * steps.mean() else None


def _above(first: Record, other: Record) -> bool:
    """Whether pixels of the same index lie above each other; unknown places (nan) say nothing against it."""
    a, b = first.plane, other.plane
    y, x, _ = pixel(a, b.origin)
    return (
        first.image.shape == other.image.shape
        and np.allclose(a.spacing, b.spacing, rtol=1e-3)
        and min(a.x_axis @ b.x_axis, a.y_axis @ b.y_axis) > PARALLEL
        and not max(abs(y), abs(x)) > 0.5
    )
