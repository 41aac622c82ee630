"""The planes that a sonographer looks for, and how nearly they are met."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from jaxssl.data.phantom.ultrasound.population import Fetus

Vector = np.ndarray
LEFT, BACK, UP = np.eye(3)


@dataclass(frozen=True, eq=False)
class Aim:
    """A plane as the textbook has it: its middle, the direction of the middle beam, and what lies across; mm."""

    centre: Vector
    beam: Vector
    lateral: Vector
    before: float
    """From the surface of the body to the centre."""
    behind: float
    """From the centre to the end of the picture."""
    width: float
    """Half the width of the picture at the centre."""


@dataclass(frozen=True)
class View:
    """One plane and the windows through which it is seen."""

    organ: str
    aim: Callable[[Fetus], Aim]
    windows: tuple[float, ...] = (0.0,)
    """Angles in degrees by which the middle beam may be turned within the plane."""
    slack: float = 10.0
    """Standard deviation of that angle in degrees."""
    tilt: float = 3.0
    """Standard deviation of the plane's direction in degrees."""
    shift: float = 0.03
    """Standard deviation of its place, as a part of `width`."""
    close: bool = False
    """Whether it is always enlarged."""


def _head(height: float, slope: float) -> Callable[[Fetus], Aim]:
    """A plane across the head at a height in half biparietal diameters, sloping down to the back."""

    def aim(fetus: Fetus) -> Aim:
        unit, long = fetus.size.head, fetus.size.lengthening
        across = BACK * math.cos(slope) - UP * math.sin(slope)
        centre = np.array(fetus.head) + unit * height * UP
        return Aim(centre, LEFT, across, 1.05 * unit, 1.35 * unit, 1.2 * long * unit)

    return aim


def _profile(fetus: Fetus) -> Aim:
    unit = fetus.size.head
    centre = np.array(fetus.head) + unit * np.array([0, 0.15 - fetus.size.lengthening, -0.6])
    return Aim(centre, BACK, UP, 0.4 * unit, 1.3 * unit, 1.4 * unit)


def _nose_and_lips(fetus: Fetus) -> Aim:
    """Tangential to the face, tilted so that it meets the tip of the nose as well as the chin."""
    unit = fetus.size.head
    downwards = np.array([0, 0.3, -0.954]) / np.hypot(0.3, 0.954)
    centre = np.array(fetus.head) + unit * np.array([0, 0.13 - fetus.size.lengthening, -1.02])
    return Aim(centre, downwards, LEFT, 0.6 * unit, 1.0 * unit, 0.85 * unit)


def _abdomen(fetus: Fetus) -> Aim:
    radius = fetus.size.trunk
    return Aim(-0.42 * radius * UP, BACK, LEFT, 1.02 * radius, 1.35 * radius, 1.35 * radius)


def _kidneys(fetus: Fetus) -> Aim:
    radius = fetus.size.trunk
    centre = radius * np.array([0, 0.35, -0.95])
    return Aim(centre, LEFT, UP, 0.95 * radius, 1.2 * radius, 1.1 * radius)


def _four_chambers(fetus: Fetus) -> Aim:
    centre = np.array(fetus.heart)
    return _heart_plane(fetus, centre, UP - 0.12 * _apex(fetus))


def _left_outflow(fetus: Fetus) -> Aim:
    leftwards = np.cross(UP, _apex(fetus))
    across = -0.73 * leftwards + 0.68 * UP
    centre = np.array(fetus.heart) + fetus.heart_unit * (0.05 * _apex(fetus) + 0.25 * UP)
    return _heart_plane(fetus, centre, np.cross(across, _apex(fetus)))


def _three_vessels(fetus: Fetus) -> Aim:
    return _heart_plane(fetus, np.array(fetus.heart) + 0.72 * fetus.heart_unit * UP, UP)


def _arches(fetus: Fetus) -> Aim:
    return _heart_plane(fetus, np.array(fetus.heart) + 1.03 * fetus.heart_unit * UP, UP)


def _heart_plane(fetus: Fetus, centre: Vector, normal: Vector) -> Aim:
    """A plane through the chest, seen from the front unless it is turned."""
    radius = fetus.size.trunk
    normal = normal / np.linalg.norm(normal)
    beam = BACK - (BACK @ normal) * normal
    beam /= np.linalg.norm(beam)
    return Aim(centre, beam, np.cross(beam, normal), 0.85 * radius, 0.95 * radius, 0.95 * radius)


def _apex(fetus: Fetus) -> Vector:
    return math.sin(fetus.heart_axis) * LEFT - math.cos(fetus.heart_axis) * BACK


def _femur(fetus: Fetus) -> Aim:
    thigh = fetus.thighs[1]
    hip, knee = np.array(thigh.hip), np.array(thigh.knee)
    along = (knee - hip) / np.linalg.norm(knee - hip)
    inwards = -LEFT + (LEFT @ along) * along
    beam = inwards / np.linalg.norm(inwards)
    return Aim((hip + knee) / 2, beam, along, 1.1 * thigh.flesh, 2.4 * thigh.flesh, 0.75 * fetus.size.femur)


def _spine(fetus: Fetus) -> Aim:
    radius = fetus.size.trunk
    return Aim(radius * np.array([0.07, 0.7, -0.6]), -BACK, UP, 0.32 * radius, 1.1 * radius, 1.15 * radius)


VIEWS = {
    "transventricular": View("head", _head(0.27, 0.0), (0, 180)),
    "transthalamic": View("head", _head(0.03, 0.0), (0, 180)),
    "transcerebellar": View("head", _head(-0.16, 0.42), (0, 180)),
    "profile": View("face", _profile, slack=15, tilt=2),
    "nose_lips": View("face", _nose_and_lips, slack=15, tilt=2, shift=0.015, close=True),
    "four_chamber": View("heart", _four_chambers, (-45, 0, 45), tilt=2.5, shift=0.02, close=True),
    "lvot": View("heart", _left_outflow, (-45, 0, 45), tilt=2.5, shift=0.02, close=True),
    "three_vessel": View("heart", _three_vessels, (-40, 0, 40), tilt=2.5, shift=0.02, close=True),
    "three_vessel_trachea": View("heart", _arches, (-40, 0, 40), tilt=2.5, shift=0.02, close=True),
    "abdomen": View("abdomen", _abdomen, (-80, 0, 80), slack=15),
    "kidneys": View("abdomen", _kidneys, (0, 180), slack=6, tilt=2),
    "femur": View("limb", _femur, slack=8, tilt=1, shift=0.008),
    "spine": View("spine", _spine, slack=6, tilt=1.5, shift=0.01),
}
"""By the fine name of the plane; the organ is its coarse one."""


def aimed(view: View, fetus: Fetus, rng: np.random.Generator) -> Aim:
    """The plane as it was met: turned within itself, tilted and moved, one side of the picture left or right."""
    aim = view.aim(fetus)
    normal = np.cross(aim.lateral, aim.beam)
    angle = math.radians(float(rng.choice(view.windows)) + view.slack * float(rng.normal()))
    turn = Rotation.from_rotvec(angle * normal)
    tilt = Rotation.from_rotvec(math.radians(view.tilt) * rng.normal(size=3)) * turn
    beam, lateral = tilt.apply(aim.beam), tilt.apply(aim.lateral) * float(rng.choice([-1, 1]))
    centre = aim.centre + rng.normal(0, view.shift * aim.width, 3)
    return Aim(centre, beam, lateral, aim.before, aim.behind, aim.width)
