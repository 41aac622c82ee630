"""The fetal heart: four chambers about the crux, and the great vessels; in half lengths of the heart, from the crux.

Points of the heart run to the apex (x), from the right chambers to the left ones (y) and upwards (z). The vessels lie
in the directions of the body, left, backwards and upwards, in the same units.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from jaxssl.data.phantom.beat import Beat
from jaxssl.data.phantom.shapes import Numbers, Points, ellipsoid, path, tube
from jaxssl.data.phantom.ultrasound.canvas import BLOOD, SKIN, Canvas, Tissue

MYOCARDIUM = Tissue(-30, 0.16)
AORTA = [
    (0.24, -0.01, 0.12),
    (-0.28, -0.1, 0.5),
    (-0.26, -0.12, 0.8),
    (-0.1, 0.2, 1.12),
    (0.16, 0.75, 1.08),
    (0.2, 1.04, 0.6),
]
PULMONARY = [(-0.02, -0.58, 0.3), (0.08, -0.44, 0.66), (0.2, 0.0, 0.8), (0.24, 0.6, 0.98), (0.2, 1.04, 0.6)]
CAVA = [(-0.58, 0.0, 0.2), (-0.55, 0.06, 0.8), (-0.5, 0.1, 1.6)]


class Chambers(NamedTuple):
    """Distances from the four cavities."""

    lv: Numbers
    rv: Numbers
    la: Numbers
    ra: Numbers


def turned(p: Points, axis: float) -> Points:
    """Body directions to the heart's: its apex points `axis` radians to the left of forwards, and a little down."""
    sin, cos, down = np.float32(math.sin(axis)), np.float32(math.cos(axis)), np.float32(0.12)
    apical = sin * p.x - cos * p.y
    return Points(apical - down * p.z, cos * p.x + sin * p.y, p.z + down * apical)


def chambers(h: Points, contraction: float) -> Chambers:
    """Ventricles shrink; their valves move towards the apex and let the atria fill."""
    slim, short, move = 1 - 0.25 * contraction, 1 - 0.1 * contraction, 0.12 * contraction
    left = ellipsoid(h, (0.32, 0.31, 0), (0.6 * short, 0.25 * slim, 0.34 * slim))
    right = ellipsoid(h, (0.28, -0.34, 0.1), (0.56 * short, 0.28 * slim, 0.5 * slim))
    length, middle = 0.44 + move / 2, -0.26 + move / 2
    left_atrium = ellipsoid(h, (middle, 0.32, -0.02), (length, 0.28, 0.3))
    right_atrium = ellipsoid(h, (middle, -0.35, -0.05), (length, 0.3, 0.3))
    return Chambers(
        np.maximum(left, move + 0.02 - h.x),
        np.maximum(right, move + 0.09 - h.x),
        np.maximum(left_atrium, h.x - move + 0.02),
        np.maximum(right_atrium, h.x - move - 0.05),
    )


def paint_heart(c: Canvas, axis: float, moment: Beat, fine: Numbers) -> None:
    """Vessels of the upper chest, then walls, cavities, valves and the moderator band."""
    contraction, filling = moment
    _paint_vessels(c)
    h = turned(c.points, axis)
    found = chambers(h, contraction)
    thick = 1 + 0.35 * contraction
    outer = functools.reduce(
        np.minimum,
        (
            found.lv - np.float32(0.13 * thick),
            found.rv - np.float32(0.1 * thick),
            np.minimum(found.la, found.ra) - np.float32(0.07),
            ellipsoid(h, (0.4, 0, 0), (0.45, 0.3, 0.3)),
            ellipsoid(h, (-0.2, 0, 0), (0.4, 0.3, 0.25)),
        ),
    )
    c.fill(outer - 0.03, BLOOD, echo=12)
    c.surface(outer - 0.05, -17)
    c.fill(outer, MYOCARDIUM, texture=fine)
    for cavity in found:
        c.fill(cavity, BLOOD)
        c.surface(cavity, -22, sharpness=1)
    _paint_outflow(c, found)
    _paint_septa(c, h, found)
    _paint_valves(c, h, 0.12 * contraction, filling)


def _paint_outflow(c: Canvas, found: Chambers) -> None:
    """The roots of aorta and pulmonary trunk open into their ventricles."""
    for corners, cavity in ((AORTA, found.lv), (PULMONARY, found.rv)):
        root = path(c.points, corners[:2], 0.18)
        c.fill(np.maximum(root - 0.04, -cavity), SKIN, echo=-3)
        c.fill(root, BLOOD)
        c.surface(np.where(cavity > 0.03, root, np.float32(1)), -16, sharpness=1)


def _paint_septa(c: Canvas, h: Points, found: Chambers) -> None:
    """The crux, the flap of the oval hole, and the moderator band that marks the right ventricle."""
    crux = ellipsoid(h, (0.03, 0, -0.1), (0.1, 0.08, 0.16))
    c.fill(crux, SKIN)
    hole = ellipsoid(h, (-0.36, -0.01, 0), (0.13, 0.09, 0.15))
    c.fill(hole, BLOOD)
    flap = np.abs(ellipsoid(h, (-0.36, 0.06, 0), (0.17, 0.13, 0.2))) - 0.012
    c.fill(np.maximum(flap, 0.08 - h.y), SKIN)
    band = tube(h, (0.56, -0.05, 0), (0.5, -0.62, 0.05), 0.05)
    tip = np.maximum(found.rv, 0.62 - h.x)
    c.fill(np.maximum(np.minimum(band, tip), found.rv), MYOCARDIUM, echo=4)


def _paint_valves(c: Canvas, h: Points, move: float, filling: bool) -> None:
    """Mitral and tricuspid leaflets, the tricuspid ones nearer to the apex: across when shut, ajar when filling."""
    for side, plane, radius in ((0.32, move, 0.24), (-0.34, move + 0.08, 0.27)):
        across = np.sqrt((h.y - side) ** 2 + h.z**2) / np.float32(radius)
        sag = np.float32(0.55 if filling else 0.12) * radius * (1 - across)
        sheet = np.abs(h.x - plane - sag) - 0.014
        leaflet = np.maximum(sheet, np.maximum(across - 1.1, 0.45 - across if filling else -across))
        c.fill(leaflet, SKIN, echo=2)


def _paint_vessels(c: Canvas) -> None:
    """Windpipe, upper caval vein, arches of aorta and duct that meet to the left of the spine."""
    p = c.points
    windpipe = tube(p, (-0.16, 0.82, 0.75), (-0.14, 0.72, 2.4), 0.075)
    c.fill(windpipe - 0.05, SKIN, echo=2)
    c.surface(windpipe - 0.03, 0, sharpness=1)
    c.fill(windpipe, BLOOD)
    for corners, radius in ((CAVA, 0.12), (AORTA, 0.15), (PULMONARY, 0.18)):
        vessel = path(p, corners, radius)
        c.fill(vessel - 0.04, SKIN, echo=-3)
        c.fill(vessel, BLOOD)
        c.surface(vessel, -15, sharpness=1)
