"""A curved probe: the sector it sees, and where the sector's beams and pixels lie."""

import math
from dataclasses import dataclass

import numpy as np

from jaxssl.data.phantom.shapes import Numbers
from jaxssl.geometry import Plane

ROWS, BEAMS = 360, 224
"""Samples along a beam, and beams."""
SHAPE = (240, 320)
"""Pixels of every image."""


@dataclass(frozen=True)
class Sector:
    """A fan in the plane of the image: lateral x, depth y below the middle of the probe's surface; mm."""

    radius: float
    """Of the probe's surface."""
    near: float
    far: float
    """Depths along a beam at which the shown part begins and ends."""
    half_angle: float

    @property
    def depths(self) -> Numbers:
        """Of the rows."""
        return np.linspace(self.near, self.far, ROWS, dtype=np.float32)

    @property
    def angles(self) -> Numbers:
        """Of the beams."""
        return np.linspace(-self.half_angle, self.half_angle, BEAMS, dtype=np.float32)

    @property
    def row(self) -> float:
        """Depth from one row to the next."""
        return (self.far - self.near) / (ROWS - 1)

    def pitch(self, depth: Numbers) -> Numbers:
        """Distance from one beam to the next."""
        return (self.radius + depth) * np.float32(2 * self.half_angle / (BEAMS - 1))

    def beam_points(self) -> tuple[Numbers, Numbers]:
        """(x, y) of the samples [row, beam]."""
        reach = (self.radius + self.depths)[:, None]
        return reach * np.sin(self.angles), reach * np.cos(self.angles) - np.float32(self.radius)

    @property
    def spacing(self) -> float:
        """Of the square pixels, so that the sector just fits the image."""
        top, bottom, half = self._box
        return max((bottom - top) / (SHAPE[0] - 1), 2 * half / (SHAPE[1] - 1))

    @property
    def corner(self) -> tuple[float, float]:
        """(x, y) of pixel (0, 0): the sector is in the middle of the image."""
        top, bottom, _ = self._box
        return -self.spacing * (SHAPE[1] - 1) / 2, (top + bottom) / 2 - self.spacing * (SHAPE[0] - 1) / 2

    @property
    def _box(self) -> tuple[float, float, float]:
        top = (self.radius + self.near) * math.cos(self.half_angle) - self.radius
        return top, self.far, (self.radius + self.far) * math.sin(self.half_angle)

    def pixel_beams(self) -> tuple[Numbers, Numbers, np.ndarray]:
        """For every pixel its fractional row and beam, and whether it lies in the fan."""
        (left, top), (height, width) = self.corner, SHAPE
        x = np.float32(left) + np.arange(width, dtype=np.float32) * np.float32(self.spacing)
        y = np.float32(top) + np.arange(height, dtype=np.float32)[:, None] * np.float32(self.spacing)
        depth = np.hypot(x, y + np.float32(self.radius)) - np.float32(self.radius)
        angle = np.arctan2(x, y + np.float32(self.radius))
        shown = (depth >= self.near) & (depth <= self.far) & (np.abs(angle) <= self.half_angle)
        beam = (angle / np.float32(self.half_angle) + 1) * np.float32((BEAMS - 1) / 2)
        return (depth - np.float32(self.near)) / np.float32(self.row), beam, shown


@dataclass(frozen=True, eq=False)
class Pose:
    """Where the probe is held: the middle of its surface, and the directions of its lateral axis and middle beam."""

    position: np.ndarray
    lateral: np.ndarray
    beam: np.ndarray

    def place(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Patient coordinates of points of the plane."""
        at, a, b = (v.astype(np.float32) for v in (self.position, self.lateral, self.beam))
        return tuple(at[k] + x * a[k] + y * b[k] for k in range(3))

    def plane(self, sector: Sector) -> Plane:
        """The plane of the sector's image."""
        left, top = sector.corner
        origin = self.position + left * self.lateral + top * self.beam
        return Plane(origin, self.lateral, self.beam, np.full(2, sector.spacing), np.array(SHAPE))
