"""Skull, brain and face; in units of half the biparietal diameter, from the middle of the head."""

import functools

import numpy as np

from jaxssl.data.phantom.shapes import Numbers, Points, ellipsoid, path, tube
from jaxssl.data.phantom.ultrasound.canvas import BONE, FLUID, MUSCLE, SKIN, SOFT, Canvas, Tissue

HEIGHT = 1.08
"""Half the height of the skull."""
TYPICAL = 1.27
"""Length of the head over its width that the face is drawn for; it moves with the brow."""
SKULL = Tissue(-32, 1.1)
"""Thin: the far side of the head still shows."""
BRAIN = Tissue(-37, 0.12)
THALAMUS = Tissue(-45, 0.12)
CHOROID = Tissue(-17, 0.16)
SIDES = (-1.0, 1.0)


def skull(p: Points, lengthening: float) -> Numbers:
    """Distance from the outer surface of the skull."""
    return ellipsoid(p, (0, 0, 0), (1, lengthening, HEIGHT))


def paint_head(c: Canvas, lengthening: float, folds: Numbers, thickness: float) -> None:
    """Scalp, skull and brain; `folds` is a random field about 0, `thickness` that of the skull in mm."""
    outer = skull(c.points, lengthening)
    below = -0.55 - 0.2 * c.points.y - c.points.z
    thick = thickness / c.unit
    c.fill(np.maximum(outer - 0.06, below), SKIN, echo=-8)
    c.fill(np.maximum(outer, below), SKULL)
    c.surface(np.where(below < 0, outer + thick / 2, np.float32(1)), 8, width=0.3 * thickness, sharpness=12)
    inner = np.maximum(outer + thick, below)
    c.fill(inner, BRAIN, echo=-9)
    # The membranes in the fluid round the brain, then the brain and its surface.
    cortex = inner + 0.07 + 0.025 * folds
    c.fill(cortex, BRAIN, texture=3 * folds)
    c.surface(cortex, -24)
    sulci = np.maximum(np.abs(folds) - 0.06, np.maximum(cortex, -0.25 - inner))
    c.fill(sulci, BRAIN, echo=8)
    _paint_midline(c, inner, folds)
    _paint_ventricles(c, lengthening)
    _paint_hindbrain(c, lengthening, inner)


def _paint_midline(c: Canvas, inner: Numbers, folds: Numbers) -> None:
    """Falx, the cavum of the septum between two lines, thalami and the slit of the third ventricle."""
    p = c.points
    for side in SIDES:
        insula = ellipsoid(p, (side * 0.62, -0.1, -0.04), (0.045, 0.24, 0.22))
        c.fill(insula, CHOROID, echo=-3)
        thalamus = ellipsoid(p, (side * 0.2, 0.05, -0.02), (0.18, 0.27, 0.22))
        c.fill(thalamus, THALAMUS)
        c.surface(thalamus, -23)
    basal = np.maximum(np.abs(p.z + 0.02) - 0.3, np.abs(p.y - 0.03) - 0.36)
    falx = np.maximum(np.maximum(np.abs(p.x) - 0.012, inner + 0.04), -basal)
    c.fill(falx, CHOROID, echo=-8)
    # Seen here and there only.
    c.surface(np.where((falx < 0.05) & (folds > -0.4), p.x, np.float32(1)), -12, width=0.4, sharpness=6)
    third = ellipsoid(p, (0, 0.06, -0.02), (0.022, 0.17, 0.15))
    c.fill(third, FLUID)
    c.surface(third, -18)
    cavum = ellipsoid(p, (0, -0.5, 0.1), (0.1, 0.2, 0.24))
    c.fill(cavum - 0.03, BRAIN)
    c.fill(cavum, FLUID)
    c.surface(cavum, -13, width=0.4)


def _paint_ventricles(c: Canvas, k: float) -> None:
    """Lateral ventricles with the bright choroid plexus hanging in them."""
    p = c.points
    for side in SIDES:
        horn = [(0.13, -0.52 * k, 0.26), (0.2, -0.2 * k, 0.36), (0.34, 0.2 * k, 0.34), (0.45, 0.46 * k, 0.2)]
        wall = path(p, [(side * x, y, z) for x, y, z in horn], 0.105)
        wall = np.minimum(wall, ellipsoid(p, (side * 0.44, 0.4 * k, 0.24), (0.15, 0.24, 0.16)))
        c.fill(wall, FLUID)
        c.surface(wall, -20)
        plexus = tube(p, (side * 0.33, 0.14 * k, 0.34), (side * 0.45, 0.35 * k, 0.25), 0.085)
        c.fill(plexus, CHOROID)


def _paint_hindbrain(c: Canvas, k: float, inner: Numbers) -> None:
    """The dumb-bell of the cerebellum before the dark cisterna magna, and the brain stem."""
    p = c.points
    fossa = ellipsoid(p, (0, 0.66 * k, -0.46), (0.66, 0.3, 0.3))
    c.fill(np.maximum(fossa, inner + 0.02), FLUID)
    c.fill(ellipsoid(p, (0, 0.3 * k, -0.4), (0.24, 0.17, 0.3)), THALAMUS)
    lobes = (ellipsoid(p, (side * 0.29, 0.58 * k, -0.42), (0.31, 0.21, 0.24)) for side in SIDES)
    lobes = np.minimum(*lobes)
    leaves = np.sin(60 * np.sqrt(p.x**2 + (p.y - 0.3 * k) ** 2))
    c.fill(lobes, BRAIN, texture=3 * leaves)
    c.surface(lobes, -15, width=0.4, sharpness=1)
    c.fill(np.abs(lobes) - 0.02, CHOROID)
    c.fill(ellipsoid(p, (0, 0.56 * k, -0.42), (0.09, 0.19, 0.22)), CHOROID)


def paint_face(c: Canvas, lengthening: float) -> None:
    """Soft face with nose, lips and chin; jaws and the bone of the nose."""
    p = Points(c.points.x, c.points.y + np.float32(lengthening - TYPICAL), c.points.z)
    parts = (
        ellipsoid(p, (0, -0.56, -0.82), (0.62, 0.67, 0.74)),
        tube(p, (0, -1.14, -0.46), (0, -1.34, -0.8), 0.1),
        ellipsoid(p, (0, -1.36, -0.84), (0.22, 0.14, 0.1)),
        ellipsoid(p, (0, -1.2, -1.02), (0.32, 0.17, 0.08)),
        ellipsoid(p, (0, -1.15, -1.19), (0.28, 0.17, 0.08)),
        ellipsoid(p, (0, -1.02, -1.4), (0.3, 0.22, 0.16)),
    )
    skin = functools.reduce(_joined, parts)
    c.fill(skin, SKIN)
    c.surface(skin + 0.02, -10, width=0.6, sharpness=1)
    c.fill(skin + 0.045, SOFT)
    c.fill(ellipsoid(p, (0, -1.2, -1.105), (0.3, 0.2, 0.018)), FLUID)
    for side in SIDES:
        c.fill(ellipsoid(p, (side * 0.085, -1.25, -0.87), (0.04, 0.2, 0.05)), FLUID)
    c.fill(ellipsoid(p, (0, -0.75, -1.16), (0.25, 0.3, 0.13)), MUSCLE)
    _paint_jaws(c, p)


def _paint_jaws(c: Canvas, p: Points) -> None:
    for side in SIDES:
        orbit = ellipsoid(p, (side * 0.4, -0.93, -0.42), (0.2, 0.2, 0.2))
        c.fill(orbit - 0.03, BONE, echo=-6)
        c.fill(orbit, FLUID)
        c.surface(ellipsoid(p, (side * 0.4, -1.08, -0.42), (0.07, 0.05, 0.07)), -8)
        jaw = path(p, [(side * 0.45, -0.45, -1.1), (side * 0.24, -0.88, -1.36), (0, -0.96, -1.4)], 0.055)
        c.fill(jaw, BONE)
        c.surface(jaw, 0)
    palate = ellipsoid(p, (0, -0.88, -0.97), (0.3, 0.22, 0.04))
    nasal = tube(p, (0, -1.17, -0.46), (0, -1.27, -0.64), 0.03)
    for shape, bone in ((palate, BONE), (nasal, SKULL)):
        c.fill(shape, bone)
        c.surface(shape, 2)


def _joined(a: Numbers, b: Numbers) -> Numbers:
    """The union of two shapes, smooth where they meet."""
    return np.float32(-0.04) * np.logaddexp(a / np.float32(-0.04), b / np.float32(-0.04))
