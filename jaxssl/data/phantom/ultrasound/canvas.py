"""What the beams meet: echogenicity, attenuation and mirroring interfaces on the grid of the beams."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxssl.data.phantom.shapes import Numbers, Points

EDGE = 0.6
"""Width in mm over which one tissue fades into the next."""


class Tissue(NamedTuple):
    """Level of the scattered echo in dB, and loss of the beam there and back in dB/mm."""

    echo: float
    loss: float


FLUID = Tissue(-70, 0.0)
BLOOD = Tissue(-58, 0.12)
SOFT = Tissue(-26, 0.16)
SKIN = Tissue(-19, 0.2)
MUSCLE = Tissue(-31, 0.18)
BONE = Tissue(-12, 8.0)
"""Hardly anything returns from behind it."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """Fields [row, beam] that organs are painted into, in place.

    `points` are in the units of whoever paints, `unit` mm each; distances are given in those units.
    """

    points: Points
    unit: float
    row: float
    """Depth in mm from one row to the next."""
    echo: Numbers
    loss: Numbers
    mirror: Numbers
    """Amplitude that comes back from smooth surfaces."""

    @classmethod
    def blank(cls, points: Points, row: float) -> "Canvas":
        """All fluid."""
        return cls(points, 1.0, row, *(np.full_like(points.x, value) for value in (*FLUID, 0)))

    def around(self, centre: tuple[float, float, float], unit: float, radius: float) -> "Canvas | None":
        """The part of the canvas that may lie within `radius` units of `centre`, in an organ's own coordinates.

        A view: what is painted on it is painted here. None if no point lies within.
        """
        local = Points(*((q - np.float32(c)) / np.float32(unit) for q, c in zip(self.points, centre, strict=True)))
        near = local.x**2 + local.y**2 + local.z**2 < radius**2
        rows, beams = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        if not len(rows):
            return None
        part = slice(max(rows[0] - 2, 0), rows[-1] + 3), slice(max(beams[0] - 2, 0), beams[-1] + 3)
        fields = (field[part] for field in (self.echo, self.loss, self.mirror))
        return Canvas(Points(*(q[part] for q in local)), self.unit * unit, self.row, *fields)

    def fill(self, distance: Numbers, tissue: Tissue, texture: Numbers | float = 0.0, echo: float = 0.0) -> None:
        """Fill a shape with a tissue, `echo` + `texture` dB off its usual level, and clear what mirrored inside."""
        share = np.clip(np.float32(0.5) - distance * np.float32(self.unit / EDGE), 0, 1)
        self.echo[...] += share * (np.float32(tissue.echo + echo) + texture - self.echo)
        self.loss[...] += share * (np.float32(tissue.loss) - self.loss)
        self.mirror[...] *= 1 - share

    def surface(self, distance: Numbers, level: float, width: float = 0.4, sharpness: float = 2.0) -> None:
        """Add a mirror (level in dB, width in mm) where the distance is 0.

        It is as bright as the beam meets it squarely: the cosine of the angle is the slope of the distance along the
        beam, and `sharpness` its power.
        """
        depth = distance * np.float32(self.unit)
        cosine = np.clip(np.abs(np.gradient(depth, self.row, axis=0)), 0, 1)
        bright = np.exp(-0.5 * (depth / np.float32(width)) ** 2) * cosine ** np.float32(sharpness)
        self.mirror[...] += np.float32(10 ** (level / 20)) * bright
