"""Femur, tibia, their cartilage and the menisci: closed-form surfaces in the knee frame, and the labels they give.

The knee frame is x lateral, y posterior, z superior from the middle of the tibial plateau, the same for left and right
knees; lengths are mm of a knee of standard size.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxssl.data.phantom.knee.solids import both, cone, ellipse, joined, without
from jaxssl.data.phantom.shapes import Numbers, Points, ramp

FEMUR, TIBIA, FEMORAL_CARTILAGE, TIBIAL_CARTILAGE, MENISCI = range(1, 6)

NOTCH_START = (-13.0, 11.0)
"""Where (y, z) the roof of the intercondylar notch begins, behind the trochlea."""


@dataclass(frozen=True)
class Compartment:
    """One half of the joint, medial or lateral: condyle, plateau, their cartilage and the meniscus between."""

    side: int
    """-1 medial, 1 lateral."""
    middle: float
    """Distance of the condyle's middle from the sagittal plane."""
    half_width: float
    front: tuple[float, float]
    """Place along y and radius of the circle that the front of the condyle rolls on."""
    back: tuple[float, float]
    """The same of the back."""
    bottom: float
    """Height of the condyle's lowest point."""
    dip: float
    """Depth of the hollow in the plateau; negative for a hill."""
    femoral: float
    """Thickness of the cartilage of the condyle."""
    tibial: float
    """Thickness in the middle of the cartilage of the plateau."""
    footprint: tuple[float, float]
    """Half-axes along x and y of the cartilage of the plateau."""
    rim: tuple[float, float]
    """Half-axes along x and y of the outer border of the meniscus."""
    meniscus: tuple[float, float]
    """Width of the meniscus in front and behind."""
    opening: float
    """Half the distance between its horns."""
    defect: tuple[float, float, float]
    """Worn place of the femoral cartilage: x and y, and the part of the thickness that is lost."""


@dataclass(frozen=True)
class Knee:
    """The bones of one knee."""

    medial: Compartment
    lateral: Compartment
    groove: float
    """Depth of the trochlea."""
    notch: float
    """Half the width of the intercondylar notch."""
    roof: float
    """Slope of its roof, an angle in the sagittal plane."""
    plateau: tuple[float, float]
    """Half the width and half the depth of the tibia at the joint."""
    slope: float
    """Fall of the plateau backwards."""
    spines: float
    """Height of the intercondylar eminence."""
    shaft: tuple[float, float]
    """Half the width of the shafts of femur and tibia."""

    @property
    def halves(self) -> tuple[Compartment, Compartment]:
        return self.medial, self.lateral

    @property
    def front(self) -> float:
        """The foremost y of the femur beside the trochlea."""
        return min(half.front[0] - half.front[1] for half in self.halves)


class Surfaces(NamedTuple):
    """Distances in mm from the surfaces, negative inside; a cartilage is what lies between its own and its bone's."""

    femur: Numbers
    tibia: Numbers
    femoral_cartilage: Numbers
    tibial_cartilage: Numbers
    menisci: Numbers
    above: Numbers
    """Height over the bone of the plateau."""


def surfaces(knee: Knee, p: Points) -> Surfaces:
    """Distances of knee-frame points from all surfaces."""
    condyles = _condyles(knee, p)
    notch = _notch(knee, p)
    femur = without(joined(condyles, _femoral_shaft(knee, p), 9), notch, 3)
    joint = condyles - femoral_thickness(knee, p)
    above = p.z - plateau_height(knee, p.x, p.y)
    covered = np.maximum(*(tibial_thickness(half, p.x, p.y) for half in knee.halves))
    menisci = functools.reduce(np.minimum, (_meniscus(half, p, above, covered) for half in knee.halves))
    return Surfaces(
        femur,
        _tibia(knee, p, above),
        np.maximum(joint, 1.5 - notch),
        np.where(covered > 0, np.maximum(above - covered, -above), np.float32(1)),
        np.maximum(menisci, np.maximum(covered - above, 0.25 - joint)),
        above,
    )


def labels(s: Surfaces) -> np.ndarray:
    """Codes of the classes: 0 background, then femur, tibia, femoral cartilage, tibial cartilage, menisci."""
    code = np.where(s.menisci < 0, MENISCI, 0)
    code = np.where(s.tibial_cartilage < 0, TIBIAL_CARTILAGE, code)
    code = np.where(s.femoral_cartilage < 0, FEMORAL_CARTILAGE, code)
    code = np.where(s.tibia < 0, TIBIA, code)
    return np.where(s.femur < 0, FEMUR, code).astype(np.uint8)


def plateau_height(knee: Knee, x: Numbers, y: Numbers) -> Numbers:
    """Height of the bone of the tibial plateau: its fall backwards, a hollow on each side, two spines between."""
    height = -np.float32(math.tan(knee.slope)) * (y - 3)
    for half in knee.halves:
        middle = half.side * half.middle
        height = height - half.dip * np.exp(-(((x - middle) / 12) ** 2) - ((y - 3) / 15) ** 2)
        place = 3.0 - half.side
        height = height + knee.spines * np.exp(-(((x - 5 * half.side) / 3.8) ** 2) - ((y - place) / 8) ** 2)
    return height


def tibial_thickness(half: Compartment, x: Numbers, y: Numbers) -> Numbers:
    """Height of the cartilage on one side of the plateau: thickness (1 - q^4) within its elliptical footprint."""
    a, b = half.footprint
    q = ((x - half.side * half.middle) / a) ** 2 + ((y - 3) / b) ** 2
    return half.tibial * np.maximum(1 - q * q, 0)


def femoral_thickness(knee: Knee, p: Points) -> Numbers:
    """Thickness of the cartilage on the femur; it thins out upwards, sidewards and where it is worn."""
    medial, lateral = knee.halves
    lateral_share = ramp(p.x, -6, 6)
    thickness = medial.femoral + (lateral.femoral - medial.femoral) * lateral_share
    upper = 36 - 0.18 * p.y
    thickness = thickness * (1 - ramp(p.z, upper - 7, upper))
    for half in knee.halves:
        outer = half.middle + half.half_width
        thickness = thickness * ramp(outer - half.side * p.x, 0.5, 7)
        x, y, lost = half.defect
        if lost:
            thickness = thickness * (1 - lost * np.exp(-((((p.x - x) / 7) ** 2 + ((p.y - y) / 9) ** 2) ** 2)))
    return thickness


def rim_distance(half: Compartment, x: Numbers, y: Numbers) -> Numbers:
    """Horizontal distance from the outer border of a meniscus."""
    return ellipse(x - half.side * (half.middle - 1), y - 3, *half.rim)


def _condyles(knee: Knee, p: Points) -> Numbers:
    """Distance from the bone of both condyles and of the trochlea that joins them in front."""
    medial, lateral = (_condyle(half, knee.slope, p) for half in knee.halves)
    y, radius = (float(np.mean([half.front[k] for half in knee.halves])) for k in range(2))
    z = float(np.mean([half.bottom for half in knee.halves])) + radius
    groove = knee.groove * np.exp(-(((p.x - 2) / 11) ** 2))
    outer = min(half.middle + half.half_width for half in knee.halves) - 1
    disc = cone((p.y, p.z), (y, z), (y - 3, z + 9), radius, 0.8 * radius) + groove
    trochlea = both(both(disc, np.abs(p.x) - np.float32(outer), 9), np.maximum(p.y - 11, _shoulder(p)), 4)
    return joined(joined(medial, lateral, 4), trochlea, 5)


def _condyle(half: Compartment, slope: float, p: Points) -> Numbers:
    """Distance from one condyle, which rolls on two circles, follows the fall of the plateau and diverges backwards."""
    (front, front_radius), (back, back_radius) = half.front, half.back
    fall = math.tan(slope) * (back - front)
    profile = cone(
        (p.y, p.z),
        (front, half.bottom + front_radius),
        (back, half.bottom + back_radius - fall),
        front_radius,
        back_radius,
    )
    beside = np.abs(half.side * p.x - half.middle - 0.06 * p.y) - half.half_width
    return both(both(profile, beside, 11), _shoulder(p), 12)


def _shoulder(p: Points) -> Numbers:
    """Distance from the planes that slope down from the shaft to the epicondyles."""
    return (p.z + np.abs(p.x) - 76) * np.float32(math.sqrt(0.5))


def _notch(knee: Knee, p: Points) -> Numbers:
    """Distance from the tunnel between the condyles, open backwards and downwards."""
    y, z = NOTCH_START
    roof = (p.z - z) * math.cos(knee.roof) - (p.y - y) * math.sin(knee.roof)
    return both(np.abs(p.x) - knee.notch, roof, 9)


def _femoral_shaft(knee: Knee, p: Points) -> Numbers:
    """Distance from the shaft and its flare towards the condyles."""
    flare = np.exp(-((np.maximum(p.z - 30, 0) / 27) ** 2))
    width = knee.shaft[0] + (35 - knee.shaft[0]) * flare
    depth = 0.95 * knee.shaft[0] + 5.5 * flare
    return both(ellipse(p.x, p.y - (knee.front + 19.5 + 2 * flare), width, depth), 32 - p.z, 6)


def _tibia(knee: Knee, p: Points, above: Numbers) -> Numbers:
    """Distance from plateau, shaft and tuberosity."""
    down = np.maximum(-2 - p.z, 0)
    flare = np.exp(-((down / 27) ** 2))
    thin = knee.shaft[1]
    width = thin + (knee.plateau[0] - thin) * flare
    depth = thin + (knee.plateau[1] - thin) * flare
    column = both(ellipse(p.x, p.y - 3 + 7 * ramp(down, 0, 45), width, depth), above, 3)
    tuberosity = cone(p, (3, -14, -22), (2, -17, -48), 6, 8)
    return joined(column, tuberosity, 10)


def _meniscus(half: Compartment, p: Points, above: Numbers, covered: Numbers) -> Numbers:
    """Distance from a wedge-shaped ring, open towards the spines, not yet fitted between the cartilages."""
    rim = rim_distance(half, p.x, p.y)
    front, back = half.meniscus
    width = front + (back - front) * ramp(p.y, -8, 14)
    inwards = half.middle - half.side * p.x
    opening = np.maximum(np.abs(p.y - 3) - half.opening, 5 - inwards)
    ring = np.maximum(np.maximum(rim, -rim - width), -opening)
    wedge = np.maximum(above - 6, above - covered - 1 - 0.8 * (rim + width))
    return np.maximum(ring, np.maximum(wedge, inwards - half.middle + 3))
