"""Implicit shapes and textures: functions of patient points in mm, negative inside, and how they are painted.

Points are three flat float32 arrays, which numpy runs through several times faster than rows of three.
"""

import functools
import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Numbers = np.ndarray
"""Float32 values, one a point."""

EDGE = 1.0
"""Width in mm over which one tissue fades into the next, so that edges are not jagged."""


class Points(NamedTuple):
    """Coordinates of points, as flat arrays of the same length."""

    x: Numbers
    y: Numbers
    z: Numbers


def ellipsoid(p: Points, centre: tuple[float, float, float], axes: tuple[float, float, float]) -> Numbers:
    """Distance from an ellipsoid, right to first order near its surface."""
    u, v, w = ((q - np.float32(c)) / np.float32(r) for q, c, r in zip(p, centre, axes, strict=True))
    return spheroid_distance(u, v, w, *axes)


def spheroid_distance(
    u: Numbers, v: Numbers, w: Numbers, a: Numbers | float, b: Numbers | float, c: Numbers | float
) -> Numbers:
    """First-order distance k0 (k0 - 1) / k1 from a surface with half-axes a, b, c, at coordinates divided by them.

    k0 = |(u, v, w)| and k1 = |(u/a, v/b, w/c)|.
    """
    k0 = np.sqrt(u * u + v * v + w * w)
    k1 = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2)
    return k0 * (k0 - 1) / np.maximum(k1, np.float32(1e-6))


def tube(p: Points, start: tuple[float, float, float], end: tuple[float, float, float], radius: float) -> Numbers:
    """Distance from a straight round tube with round ends."""
    first, along = np.asarray(start, np.float32), np.subtract(end, start).astype(np.float32)
    x, y, z = (q - c for q, c in zip(p, first, strict=True))
    t = np.clip((x * along[0] + y * along[1] + z * along[2]) / np.dot(along, along), 0, 1)
    return np.sqrt((x - t * along[0]) ** 2 + (y - t * along[1]) ** 2 + (z - t * along[2]) ** 2) - np.float32(radius)


def path(p: Points, corners: list[tuple[float, float, float]], radius: float) -> Numbers:
    """Distance from a tube that runs through the corners."""
    pieces = (tube(p, start, end, radius) for start, end in itertools.pairwise(corners))
    return functools.reduce(np.minimum, pieces)


def ramp(value: Numbers, low: Numbers | float, high: Numbers | float) -> Numbers:
    """0 below `low`, 1 above `high`, a smooth cubic between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def inside(distance: Numbers) -> Numbers:
    """Share of a shape at a point: 1 within, 0 without, falling over `EDGE` mm at the surface."""
    return np.clip(np.float32(0.5) - distance / np.float32(EDGE), 0, 1)


def paint(canvas: Numbers, value: Numbers | float, share: Numbers) -> None:
    """Cover the canvas, in place, with a tissue's signal where its share is not zero."""
    canvas += share * (np.asarray(value, np.float32) - canvas)


@dataclass(frozen=True)
class Texture:
    """A smooth random field of about unit variance: waves whose phase is bent by the wave before."""

    vectors: np.ndarray
    phases: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, wavelength: tuple[float, float], waves: int = 5) -> "Texture":
        """Waves in random directions, with wavelengths in mm spread evenly over the given octaves."""
        directions = rng.normal(size=(waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        shortest, longest = wavelength
        lengths = np.geomspace(longest, shortest, waves)
        return cls((directions * (2 * np.pi / lengths)[:, None]).astype(np.float32), rng.uniform(0, 2 * np.pi, waves))

    def __call__(self, p: Points) -> Numbers:
        """The field at the points."""
        total = np.zeros_like(p.x)
        wave: Numbers | float = 0.0
        for (a, b, c), phase in zip(self.vectors, self.phases, strict=True):
            wave = np.sin(a * p.x + b * p.y + c * p.z + (np.float32(phase) + np.float32(2.0) * wave))
            total += wave
        return total * np.float32(np.sqrt(2 / len(self.phases)))
