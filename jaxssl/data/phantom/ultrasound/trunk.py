"""Chest and belly with spine, ribs and organs; in radii of the abdomen, from the middle of the diaphragm."""

from typing import NamedTuple

import numpy as np

from jaxssl.data.phantom.shapes import Numbers, Points, ellipsoid, path, tube
from jaxssl.data.phantom.ultrasound.canvas import BLOOD, BONE, FLUID, MUSCLE, SKIN, SOFT, Canvas, Tissue

TOP, BOTTOM = 1.85, -2.1
LUNG = Tissue(-25, 0.16)
THYMUS = Tissue(-33, 0.16)
LIVER = Tissue(-30, 0.16)
KIDNEY = Tissue(-35, 0.16)
RIB = Tissue(-14, 3.0)
BOWEL = Tissue(-22, 0.18)
VERTEBRA = 0.21
"""Height of a vertebra."""
SIDES = (-1.0, 1.0)


class Fields(NamedTuple):
    """Random fields about 0, coarse and fine, at the points of the canvas."""

    coarse: Numbers
    fine: Numbers


def skin(p: Points) -> Numbers:
    """Distance from the surface of the trunk, barrel-shaped."""
    width = np.interp(
        p.z,
        (-2.1, -2.0, -1.8, -1.4, -1.0, -0.3, 0.3, 0.9, 1.4, 1.85),
        (0.3, 0.55, 0.76, 0.92, 0.98, 1.0, 0.95, 0.84, 0.7, 0.4),
    )
    round_ = np.sqrt((p.x / np.float32(1.02)) ** 2 + (p.y / np.float32(0.98)) ** 2) - width.astype(np.float32)
    return np.maximum(round_, np.maximum(p.z - TOP, BOTTOM - p.z))


def paint_trunk(c: Canvas, f: Fields) -> None:
    """Everything in the trunk but the heart."""
    surface = skin(c.points)
    c.fill(surface, SKIN)
    c.surface(surface, -12, width=0.6)
    c.fill(surface + 0.05, MUSCLE, texture=1.5 * f.fine)
    dome = _dome(c.points)
    cavity = surface + 0.15
    c.fill(np.maximum(cavity, -dome), LUNG, texture=f.coarse)
    c.fill(np.maximum(cavity, ellipsoid(c.points, (0.04, -0.42, 1.25), (0.36, 0.26, 0.3))), THYMUS)
    c.fill(np.maximum(cavity, dome), LIVER, texture=f.coarse)
    c.surface(np.where(cavity < 0, dome, np.float32(1)), -16)
    _paint_belly(c, f, cavity)
    _paint_spine(c)
    _paint_vessels(c)
    _paint_ribs(c, surface, dome)


def _dome(p: Points) -> Numbers:
    """Height below the diaphragm."""
    return p.z - np.float32(0.2) + np.float32(0.45) * (p.x**2 + (p.y + np.float32(0.15)) ** 2)


def _paint_belly(c: Canvas, f: Fields, cavity: Numbers) -> None:
    p = c.points
    c.surface(np.where(cavity < 0.05, cavity + 0.01, np.float32(1)), -20)
    low = p.z + np.float32(0.75) - np.float32(0.35) * p.x + np.float32(0.05) * f.coarse
    c.fill(np.maximum(np.maximum(cavity, low), p.y - 0.25), BOWEL, texture=3 * f.fine + 2 * f.coarse)
    stomach = ellipsoid(p, (0.48, 0.02, -0.42), (0.2, 0.36, 0.24)) + np.float32(0.02) * f.coarse
    c.fill(stomach, FLUID)
    c.surface(stomach, -18)
    bladder = ellipsoid(p, (0, -0.3, -1.65), (0.22, 0.24, 0.26))
    c.fill(bladder, FLUID)
    c.surface(bladder, -18)
    for side in SIDES:
        kidney = ellipsoid(p, (side * 0.43, 0.36, -0.98), (0.24, 0.23, 0.42))
        c.fill(kidney - 0.03, BOWEL, echo=3)
        c.fill(kidney, KIDNEY, texture=f.fine)
        c.surface(kidney, -16)
        c.fill(ellipsoid(p, (side * 0.36, 0.34, -0.98), (0.1, 0.1, 0.24)), BOWEL)
        c.fill(ellipsoid(p, (side * 0.36, 0.34, -0.98), (0.055, 0.06, 0.15)), FLUID)
        adrenal = ellipsoid(p, (side * 0.36, 0.34, -0.5), (0.16, 0.035, 0.09))
        c.fill(adrenal, KIDNEY)


def _paint_vessels(c: Canvas) -> None:
    """Descending aorta, inferior vena cava, and the umbilical vein that hooks to the right within the liver."""
    p = c.points
    umbilical = [
        (0, -0.98, -1.05),
        (0.03, -0.66, -0.62),
        (0.02, -0.34, -0.44),
        (-0.14, -0.16, -0.4),
        (-0.36, -0.14, -0.4),
    ]
    for vessel in (
        tube(p, (0.15, 0.4, 0.95), (0.1, 0.4, -1.3), 0.085),
        path(p, [(-0.3, -0.1, 0.35), (-0.24, 0.2, -0.1), (-0.16, 0.32, -1.3)], 0.08),
        path(p, umbilical, 0.075),
    ):
        c.fill(vessel - 0.02, LIVER, echo=8)
        c.fill(vessel, BLOOD)
        c.surface(vessel, -14)


def _paint_spine(c: Canvas) -> None:
    """Per vertebra three bright points round the canal: the body before it, two arches behind."""
    p = c.points
    bend = np.float32(0.09) * np.maximum(-1.0 - p.z, 0) ** 2 - np.float32(0.05) * np.maximum(p.z - 0.8, 0) ** 2
    q = Points(p.x, p.y - bend, p.z)
    column = np.maximum(np.sqrt(q.x**2 + (q.y - 0.66) ** 2) - 0.2, np.maximum(q.z - 2.3, -2.1 - q.z))
    c.fill(column, MUSCLE, echo=-4)
    c.fill(np.maximum(np.sqrt(q.x**2 + (q.y - 0.74) ** 2) - 0.075, column), FLUID)
    within = Points(q.x, q.y, (q.z / VERTEBRA - np.rint(q.z / VERTEBRA)) * VERTEBRA)
    ends = np.maximum(q.z - 2.3, -2.05 - q.z)
    points = [((0, 0.57, 0), (0.13, 0.09, 0.075))]
    points += [((side * 0.15, 0.84, 0), (0.1, 0.045, 0.07)) for side in SIDES]
    for centre, axes in points:
        bone = np.maximum(ellipsoid(within, centre, axes), ends)
        c.fill(bone, BONE)
        c.surface(bone, 4, width=0.6, sharpness=1)


def _paint_ribs(c: Canvas, surface: Numbers, dome: Numbers) -> None:
    """Bright arcs in the wall of the chest, sloping down to the front."""
    p = c.points
    height = (p.z - np.float32(0.12) * p.y) / VERTEBRA
    band = np.abs(height - np.rint(height)) * VERTEBRA - 0.045
    rib = np.maximum(np.maximum(band, np.abs(surface + 0.115) - 0.03), np.maximum(-0.12 - dome, p.z - 1.6))
    rib = np.maximum(rib, -0.55 - p.y)
    c.fill(rib, RIB)
    c.surface(np.where(rib < 0.02, surface + 0.09, np.float32(1)), 2, width=0.6, sharpness=1)


def paint_neck(c: Canvas) -> None:
    """Soft neck between trunk and head."""
    neck = tube(c.points, (0, 0.1, 1.5), (0, -0.05, 2.7), 0.5)
    c.fill(neck, SKIN)
    c.fill(neck + 0.06, SOFT)
