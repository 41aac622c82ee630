"""Imaging planes in patient space, the lines in which they cut each other, and the order of a stack.

Coordinates are LPS (left, posterior, superior) in mm. Images are `array[y, x]`, so spacing and shape are (y, x), while
lines are written in (x, y) as in `a x + b y + c = 0`. Functions take numpy or jax arrays and give back the same kind.
`normal` and `line` allow leading batch axes; the others are of one plane, and `jax.vmap` maps them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Bool, Float, Shaped

Either: TypeAlias = Any
"""A numpy or a jax array."""

PARALLEL = 0.999
"""Planes whose unit normals have a product beyond this are parallel: their line is unknown or far away."""

TOWARDS_APEX = np.array([1.0, -1.0, -1.0])
"""Left, anterior, inferior: the way from the base of a heart to its apex, in LPS."""

UNKNOWN_ORDER = 0.3
"""A stack whose direction has a smaller product with `TOWARDS_APEX` has no reliable base and apex."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Plane:
    """A rectangular grid of pixels in patient space.

    `origin` is the centre of pixel (0, 0) and `x_axis` the unit direction in which the column index grows.

    Rows 2 mm apart and columns 3 mm, so that the last of 4 x 5 pixels is 6 mm posterior and 12 mm left of the first:

    >>> axial = Plane(np.zeros(3), *np.eye(3)[:2], spacing=np.array([2.0, 3.0]), shape=np.array([4, 5]))
    >>> points(axial)[-1, -1].tolist()
    [12.0, 6.0, 0.0]
    """

    origin: Float[Either, "*batch 3"]
    x_axis: Float[Either, "*batch 3"]
    y_axis: Float[Either, "*batch 3"]
    spacing: Float[Either, "*batch 2"]
    shape: Shaped[Either, "*batch 2"]


class Line(NamedTuple):
    """The line a x + b y + c = 0 in pixels, with a^2 + b^2 = 1 and a > 0, or a = 0 and b > 0.

    With that length of (a, b) it also says how many pixels away a pixel is, here (0, 0) and (y 4, x 3):

    >>> slant = Line(0.6, 0.8, -5.0, valid=True)
    >>> [round(slant.a * x + slant.b * y + slant.c, 4) for y, x in [(0, 0), (4, 3)]]
    [-5.0, 0.0]
    """

    a: Float[Either, "*batch"]
    b: Float[Either, "*batch"]
    c: Float[Either, "*batch"]
    valid: Bool[Either, "*batch"]


def normal(plane: Plane) -> Float[Either, "*batch 3"]:
    """Unit normal, x_axis x y_axis.

    >>> normal(Plane(np.zeros(3), *np.eye(3)[:2], spacing=np.ones(2), shape=np.array([4, 5]))).tolist()
    [0.0, 0.0, 1.0]
    """
    return _namespace(plane).linalg.cross(plane.x_axis, plane.y_axis)


def patient_point(plane: Plane, y: Either, x: Either) -> Float[Either, "*points 3"]:
    """Patient coordinates of the (fractional) pixels (y, x) of one plane (DICOM PS3.3 C.7.6.2).

        origin + y dy y_axis + x dx x_axis

    >>> axial = Plane(np.zeros(3), *np.eye(3)[:2], spacing=np.array([2.0, 3.0]), shape=np.array([4, 5]))
    >>> patient_point(axial, y=1, x=0.5).tolist()
    [1.5, 2.0, 0.0]
    """
    xp = _namespace(plane)
    along_y = xp.asarray(y)[..., None] * plane.spacing[0] * plane.y_axis
    along_x = xp.asarray(x)[..., None] * plane.spacing[1] * plane.x_axis
    return plane.origin + along_y + along_x


def pixel(plane: Plane, point: Float[Either, "*points 3"]) -> tuple[Either, Either, Either]:
    """Fractional pixel (y, x) of patient points, and their signed distance in mm from the plane along its normal.

    >>> axial = Plane(np.zeros(3), *np.eye(3)[:2], spacing=np.array([2.0, 3.0]), shape=np.array([4, 5]))
    >>> [float(found) for found in pixel(axial, np.array([1.5, 2.0, 7.0]))]
    [1.0, 0.5, 7.0]
    """
    offset = point - plane.origin
    return offset @ plane.y_axis / plane.spacing[0], offset @ plane.x_axis / plane.spacing[1], offset @ normal(plane)


def points(plane: Plane) -> Float[Either, "y x 3"]:
    """Patient coordinates of all pixel centres of one plane, whose shape must be concrete.

    >>> points(Plane(np.zeros(3), *np.eye(3)[:2], spacing=np.ones(2), shape=np.array([1, 2]))).tolist()
    [[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]
    """
    xp = _namespace(plane)
    rows, columns = (int(n) for n in plane.shape)
    return patient_point(plane, xp.arange(rows)[:, None], xp.arange(columns)[None, :])


def line(host: Plane, guest: Plane) -> Line:
    """Where the guest's plane cuts the host's image, in the host's pixels.

    A = n_g . x_axis dx, B = n_g . y_axis dy, C = n_g . (origin_h - origin_g), all divided by sqrt(A^2 + B^2).
    Nearly parallel planes, and those whose place or spacing is unknown (nan), give `valid` False and a finite,
    meaningless line. Safe under jit and vmap.

    A sagittal plane 6 mm to the left cuts columns of 3 mm at x = 2:

    >>> axial = Plane(np.zeros(3), *np.eye(3)[:2], spacing=np.array([2.0, 3.0]), shape=np.array([4, 5]))
    >>> sagittal = Plane(np.array([6.0, 0.0, 0.0]), *np.eye(3)[1:], spacing=np.ones(2), shape=np.array([4, 5]))
    >>> [float(part) for part in line(axial, sagittal)]
    [1.0, 0.0, -2.0, 1.0]
    """
    xp = _namespace(host)
    n = normal(guest)
    a = (n * host.x_axis).sum(-1) * host.spacing[..., 1]
    b = (n * host.y_axis).sum(-1) * host.spacing[..., 0]
    c = (n * (host.origin - guest.origin)).sum(-1)
    placed = xp.isfinite(a + b + c)
    a, b, c = (xp.where(placed, part, 0.0) for part in (a, b, c))
    valid = placed & (xp.abs((n * normal(host)).sum(-1)) <= PARALLEL)
    length = xp.where(valid, xp.hypot(a, b), 1.0)
    scale = xp.where((a < 0) | ((a == 0) & (b < 0)), -1.0, 1.0) / length
    return Line(a * scale, b * scale, c * scale, valid)


def base_to_apex(stack: Sequence[Plane]) -> list[int] | None:
    """The order that runs through a short-axis stack from base to apex, or None where it cannot be known.

    It is unknown for a single slice, for planes that are not parallel or coincide, and where the unit direction d of
    the stack has `|d . (1, -1, -1)| < 0.3`: then the geometry does not tell base from apex, and no guess is made.

    The higher of axial slices are nearer to the base:

    >>> heights = [np.array([0.0, 0.0, mm]) for mm in (0.0, 10.0, 20.0)]
    >>> base_to_apex([Plane(at, *np.eye(3)[:2], spacing=np.ones(2), shape=np.array([4, 5])) for at in heights])
    [2, 1, 0]
    """
    if len(stack) < 2:
        return None
    normals = np.stack([normal(plane) for plane in stack])
    direction = normals[0]
    depth = np.array([np.dot(plane.origin, direction) for plane in stack])
    towards_apex = float(direction @ TOWARDS_APEX)
    parallel = np.all(np.abs(normals @ direction) > PARALLEL)
    if not parallel or np.ptp(depth) == 0 or abs(towards_apex) < UNKNOWN_ORDER:
        return None
    return np.argsort(depth * np.sign(towards_apex), kind="stable").tolist()


def _namespace(plane: Plane) -> Any:
    """`numpy` or `jax.numpy`, whichever the plane's arrays belong to."""
    return plane.x_axis.__array_namespace__()
