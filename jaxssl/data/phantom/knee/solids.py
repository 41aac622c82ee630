"""More implicit solids, for bones: distances in mm, negative inside, right to first order near the surface."""

from collections.abc import Sequence

import numpy as np

from jaxssl.data.phantom.shapes import Numbers, spheroid_distance


def cone(
    p: Sequence[Numbers], start: Sequence[float], end: Sequence[float], radius: float, end_radius: float
) -> Numbers:
    """Distance from the hull of two balls, in as many dimensions as the points have.

    The least of |p - c(t)| - r(t) over balls c(t) between the ends, at t = along + slope across / sqrt(1 - slope^2).
    """
    axis = np.subtract(end, start)
    length = float(np.linalg.norm(axis))
    slope = (end_radius - radius) / length
    offset = [q - np.float32(c) for q, c in zip(p, start, strict=True)]
    along = sum(q * np.float32(c / length) for q, c in zip(offset, axis, strict=True))
    across = np.sqrt(np.maximum(sum(q * q for q in offset) - along * along, 0))
    t = np.clip(along + np.float32(slope / np.sqrt(1 - slope**2)) * across, 0, np.float32(length))
    return np.sqrt((along - t) ** 2 + across * across) - np.float32(radius) - np.float32(slope) * t


def ellipse(x: Numbers, y: Numbers, a: Numbers | float, b: Numbers | float) -> Numbers:
    """Distance from a column of elliptical section about the origin, whose half-axes may vary along it."""
    return spheroid_distance(x / a, y / b, np.zeros_like(x), a, b, 1.0)


def both(a: Numbers, b: Numbers, radius: float) -> Numbers:
    """Distance from what two solids share, with the edge between them rounded to the radius."""
    u, v = a + np.float32(radius), b + np.float32(radius)
    corner = np.sqrt(np.maximum(u, 0) ** 2 + np.maximum(v, 0) ** 2)
    return np.minimum(np.maximum(u, v), 0) + corner - np.float32(radius)


def joined(a: Numbers, b: Numbers, width: float) -> Numbers:
    """Distance from two solids grown together, with a fillet about as wide as `width`."""
    near = np.maximum(np.float32(width) - np.abs(a - b), 0)
    return np.minimum(a, b) - near * near * np.float32(0.25 / width)


def without(a: Numbers, b: Numbers, width: float) -> Numbers:
    """Distance from a solid with another one carved out of it, the edge blunted over `width`."""
    return -joined(-a, b, width)
