"""Where the technician puts the slices: a short-axis stack and three long-axis views, obliquely in LPS space."""

import numpy as np

from jaxssl.data.phantom.population import Subject
from jaxssl.data.phantom.scanner import VENDORS
from jaxssl.geometry import Plane

VIEWS = ("sax", "2ch", "3ch", "4ch")

ANGLES = {"2ch": 1.65, "3ch": 0.68, "4ch": -0.18}
"""Angle round the left ventricle at which a long-axis view cuts it: 0 through the septum, pi/2 the anterior wall."""

LEFT, BACK, DOWN = np.eye(3) * (1, 1, -1)

DISPLAY = {"sax": (LEFT, BACK), "2ch": (BACK, DOWN), "3ch": (BACK, DOWN), "4ch": (LEFT, BACK)}
"""What the columns and rows of the displayed image run towards, as nearly as the plane allows."""


def prescribe(subject: Subject, slices: int, rng: np.random.Generator) -> dict[str, list[Plane]]:
    """The planes of each view, the short-axis stack from just above the mitral plane (base) to the apex."""
    along = subject.axes[2]
    length = subject.heart.ventricles.length
    heights = np.linspace(-5, length - 1, slices) + rng.normal(0, 1.5)
    tilt = rng.normal(0, 0.03, (len(VIEWS), 3))
    stack = _unit(along + tilt[0])
    middle = subject.origin + 0.45 * length * along
    views = {"sax": [_plane(subject, "sax", middle + (h - 0.45 * length) * stack, -stack) for h in heights]}
    for view, turn in zip(VIEWS[1:], tilt[1:], strict=True):
        across = np.cos(ANGLES[view]) * subject.axes[0] + np.sin(ANGLES[view]) * subject.axes[1]
        views[view] = [_plane(subject, view, middle, _unit(np.cross(along, across) + turn))]
    return views


def _plane(subject: Subject, view: str, centre: np.ndarray, normal: np.ndarray) -> Plane:
    """A plane through the centre, the usual way up on the screen, its image moved towards the middle of the chest."""
    vendor = VENDORS[subject.vendor]
    right, down = DISPLAY[view]
    y_axis = _unit(down - (down @ normal) * normal)
    x_axis = np.cross(y_axis, normal)
    if x_axis @ right < 0:
        x_axis = -x_axis
    longer, shorter = (2 * round(side / vendor.spacing / 2) for side in vendor.field_of_view)
    shape = np.array([longer, shorter] if view in ("2ch", "3ch") else [shorter, longer])
    spacing = np.full(2, vendor.spacing)
    towards_chest = subject.chest - centre
    towards_chest = 0.4 * (towards_chest - (towards_chest @ normal) * normal)
    half = (shape - 1) / 2 * spacing
    origin = centre + towards_chest - half[0] * y_axis - half[1] * x_axis
    return Plane(origin, x_axis, y_axis, spacing, shape)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
