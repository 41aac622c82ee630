"""A thigh with its femur, in mm."""

from typing import NamedTuple

import numpy as np

from jaxssl.data.phantom.shapes import Numbers, Points, ellipsoid, path, tube
from jaxssl.data.phantom.ultrasound.canvas import BONE, MUSCLE, SKIN, Canvas

Point = tuple[float, float, float]


class Thigh(NamedTuple):
    """Where the ossified shaft of the femur begins and ends, and how thick the flesh round it is."""

    hip: Point
    knee: Point
    flesh: float


def shaft(p: Points, thigh: Thigh) -> Numbers:
    """Distance from the shaft: a little bowed, wider at both ends."""
    hip, knee = np.asarray(thigh.hip), np.asarray(thigh.knee)
    length = float(np.linalg.norm(knee - hip))
    radius, bow = 0.04 * length, np.array([0.0, -0.025 * length, 0.0])
    ball = 1.7 * radius
    hip, knee = hip + ball / length * (knee - hip), knee - ball / length * (knee - hip)
    corners = [hip, hip + 0.33 * (knee - hip) + bow, hip + 0.67 * (knee - hip) + bow, knee]
    bone = path(p, [_point(corner) for corner in corners], radius)
    for end in (hip, knee):
        bone = np.minimum(bone, ellipsoid(p, _point(end), (ball, ball, ball)))
    return bone


def flesh(p: Points, thigh: Thigh) -> Numbers:
    """Distance from the skin of the thigh, which tapers to the knee."""
    hip, knee = np.asarray(thigh.hip), np.asarray(thigh.knee)
    way, length = knee - hip, float(np.linalg.norm(knee - hip))
    x, y, z = (q - np.float32(c) for q, c in zip(p, hip, strict=True))
    along = np.clip((x * way[0] + y * way[1] + z * way[2]) / np.float32(length**2), 0, 1)
    return tube(p, _point(hip - 0.14 * way), _point(knee + 0.14 * way), 0.0) - thigh.flesh * (
        1 - np.float32(0.25) * along
    )


def paint_thigh(c: Canvas, thigh: Thigh, fine: Numbers) -> None:
    """Skin, muscle with its fascia, bone."""
    skin = flesh(c.points, thigh)
    c.fill(skin, SKIN)
    c.surface(skin, -12, width=0.6)
    c.fill(skin + 1.6, MUSCLE, texture=2 * fine)
    c.surface(skin + 0.5 * thigh.flesh + 1.5 * fine, -18)
    bone = shaft(c.points, thigh)
    c.fill(bone - 0.4, BONE)
    c.surface(bone, 3, width=0.6, sharpness=1.5)


def _point(values: np.ndarray) -> Point:
    x, y, z = values.tolist()
    return x, y, z
