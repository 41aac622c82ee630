"""Everything that does not beat: chest wall, lungs, spine, great vessels, diaphragm, liver, stomach, spleen.

`paint_chest` returns the signed signal (fat negative) at points whose origin is the middle of the chest, in LPS mm.
"""

import functools
from typing import NamedTuple

import numpy as np

from jaxssl.data.phantom.shapes import Numbers, Points, ellipsoid, inside, paint, path, ramp, tube
from jaxssl.data.phantom.tissue import Body, Textures, Tissues

VERTEBRA = 25.0
"""Height in mm of a vertebra with its disc."""

RIB = 27.0
"""Way in mm from one rib to the next."""


class _Here(NamedTuple):
    """Points and what all shapes need to know of them."""

    p: Points
    wall: Numbers
    """Distance from the inside of the chest wall."""
    broad: Numbers
    coarse: Numbers
    fine: Numbers
    vessels: Numbers


def paint_chest(body: Body, textures: Textures, tissues: Tissues, p: Points) -> Numbers:
    """Signed signal of the resting anatomy at the points."""
    wall = _wall_distance(body, p)
    here = _Here(p, wall, textures.broad(p), textures.coarse(p), textures.fine(p), _vessels(textures, p))
    canvas = np.zeros_like(p.x)
    _paint_wall(canvas, body, tissues, here)
    paint(canvas, tissues.lung * (1 + 0.3 * here.coarse + 0.4 * here.fine), inside(wall))
    paint(canvas, 0.75 * tissues.blood, here.vessels * inside(wall + 6))
    _paint_mediastinum(canvas, tissues, here)
    _paint_abdomen(canvas, body, tissues, here)
    _paint_spine(canvas, body, tissues, here)
    _paint_great_vessels(canvas, body, tissues, p)
    return canvas


def _vessels(textures: Textures, p: Points) -> Numbers:
    """Thin branching tubes: where two smooth fields vanish together."""
    first, second = (field(p) for field in textures.vessels)
    return np.clip(1.6 - np.sqrt(first * first + second * second) / np.float32(0.36), 0, 1)


def _wall_distance(body: Body, p: Points) -> Numbers:
    """Radial distance from the inside of the chest wall, positive in the wall; the chest narrows upwards."""
    narrowing = 1 - 0.75 * ramp(p.z, 40, 150)
    u = (p.x / (np.float32(body.width) * narrowing)) ** 2
    v = (p.y / np.float32(body.depth)) ** 2
    q = np.sqrt(np.sqrt(u * u + v * v + np.float32(1.3) * u * v))
    r = np.sqrt(p.x * p.x + p.y * p.y)
    return r * (1 - 1 / np.maximum(q, np.float32(1e-3)))


def _paint_wall(canvas: Numbers, body: Body, tissues: Tissues, here: _Here) -> None:
    """Fat, muscle with streaks of fat, ribs and breastbone, from the skin inwards."""
    p, wall, broad, coarse, fine, _ = here
    behind, before = ramp(p.y, 10, 70), ramp(-p.y, 30, 80)
    middle = np.exp(-((p.x / 38) ** 2))
    shoulders = 70 * ramp(p.z, 40, 150)
    muscle = body.muscle * (1 + 0.12 * broad) + 26 * behind * middle + shoulders * (1 - 0.6 * before)
    breast = body.breast * np.exp(-(((np.abs(p.x) - 75) / 40) ** 2) - ((p.z - 5) / 60) ** 2) * before
    fat = body.fat * (1 + 0.35 * before * (1 - middle) + 0.1 * broad) + breast
    skin = wall - muscle - fat
    paint(canvas, tissues.muscle, inside(skin - 1.5))
    paint(canvas, tissues.fat * (1 + 0.06 * fine), inside(skin))
    paint(canvas, tissues.muscle * (1 + 0.2 * fine), inside(wall - muscle))
    streaks = ramp(fine + coarse, 1.2, 2.4) * inside(3 - wall)
    paint(canvas, 0.8 * tissues.fat, streaks * inside(wall - muscle + 1))
    paint(canvas, 0.8 * tissues.fat, 0.8 * inside(np.abs(wall - 11 - 1.5 * broad) - 0.9) * (1 - behind * middle))
    along = (p.z + 0.45 * p.y + 0.1 * np.abs(p.x)) / RIB
    rib = np.sqrt((1.2 * (wall - 6.5)) ** 2 + ((along - np.round(along)) * np.float32(RIB * 0.72)) ** 2) - 5.5
    paint(canvas, tissues.bone, inside(rib) * (1 - middle * before))
    paint(canvas, 1.3 * tissues.marrow, inside(rib + 1.8) * (1 - middle * before))
    breastbone = np.maximum(np.abs(p.x) - 17, np.abs(wall - 8) - 6) + 400 * (p.y > 0) + np.maximum(-60 - p.z, 0)
    paint(canvas, tissues.bone, inside(breastbone))
    paint(canvas, tissues.marrow, inside(breastbone + 1.8))


def _paint_mediastinum(canvas: Numbers, tissues: Tissues, here: _Here) -> None:
    """Fat and connective tissue between the lungs, from breastbone to spine."""
    p, wall, _, coarse, fine, _ = here
    waist = 24 + 10 * ramp(p.z, 20, 70) + 5 * coarse
    column = np.maximum(np.abs(p.x - 2) - waist, wall - 1)
    grey = ramp(fine + 1.5 * coarse, -1.2, 1.4)
    paint(canvas, tissues.fat * 0.75 + (tissues.muscle - tissues.fat * 0.75) * grey, inside(column))


def _paint_abdomen(canvas: Numbers, body: Body, tissues: Tissues, here: _Here) -> None:
    """What lies under the diaphragm: fat, bowel, liver with its vessels, spleen, stomach with gas."""
    p, wall, broad, coarse, fine, vessels = here
    top = body.liver - 14
    below = np.maximum(0.7 * (p.z - _diaphragm(body, p)), wall)
    paint(canvas, tissues.muscle, inside(below))
    paint(canvas, tissues.fat * (0.85 + 0.08 * fine), inside(below + 3))
    bowel = ramp(coarse + broad, 0.0, 0.25) * inside(below + 12)
    paint(canvas, tissues.stomach * (0.8 + 0.2 * fine), bowel)
    liver = np.maximum(0.8 * (p.x - 58 - 0.5 * p.z - 10 * broad), p.x - 62)
    liver = np.maximum(np.maximum(liver, below + 3.5), 0.8 * (body.liver - 190 - p.z))
    paint(canvas, tissues.liver * (1 + 0.08 * coarse + 0.07 * fine), inside(liver))
    paint(canvas, 0.72 * tissues.blood, vessels * inside(liver + 7))
    spleen = np.maximum(ellipsoid(p, (98, 48, top - 52), (30, 38, 46)), below + 4)
    paint(canvas, tissues.spleen * (1 + 0.07 * fine), inside(spleen))
    stomach = ellipsoid(p, (66, -8, top - 58), (44, 46, 50)) + 5 * broad + 2.5 * coarse
    stomach = np.maximum(np.maximum(stomach, below + 4), -liver)
    gas = ramp(-p.y + 1.5 * broad, 12 - 40 * body.gas, 15 - 40 * body.gas)
    paint(canvas, tissues.muscle, inside(stomach))
    paint(canvas, tissues.stomach * (1 + 0.2 * coarse + 0.12 * fine) * (1 - gas) + 0.03 * gas, inside(stomach + 3.5))


def _diaphragm(body: Body, p: Points) -> Numbers:
    """Height of the diaphragm: a dome on each side and a floor under the heart."""
    right = body.liver - 34 * (((p.x + 62) / 78) ** 2 + ((p.y - 5) / 82) ** 2)
    left = body.liver - 14 - 34 * (((p.x - 78) / 72) ** 2 + ((p.y - 15) / 75) ** 2)
    floor = body.heart_floor - 10 * ((p.x - 25) / 70) ** 2 - 12 * ((p.y + 10) / 75) ** 2
    return np.maximum(np.maximum(right, left), floor)


def _paint_spine(canvas: Numbers, body: Body, tissues: Tissues, here: _Here) -> None:
    """Vertebrae, discs, the canal with its bright fluid, and the arches behind."""
    p, fine = here.p, here.fine
    y = p.y - np.float32(body.depth * 0.62) + 8 * ((p.z + 20) / 150) ** 2
    column = np.sqrt((p.x / 1.12) ** 2 + y * y) - 17
    height = np.abs(p.z / VERTEBRA - np.round(p.z / VERTEBRA)) * VERTEBRA
    disc = inside(VERTEBRA / 2 - 3 - height)
    arch = np.maximum(np.abs(p.x) - 24 + 0.5 * np.abs(y - 26), np.abs(y - 27) - 13)
    paint(canvas, tissues.bone, inside(arch) * (1 - 0.7 * disc))
    paint(canvas, tissues.bone, inside(column))
    paint(canvas, tissues.marrow * (1 + 0.12 * fine), inside(column + 2))
    paint(canvas, tissues.muscle * 0.9, inside(column + 1) * disc)
    canal = np.sqrt(p.x**2 + (y - 25) ** 2)
    paint(canvas, tissues.fluid, inside(canal - 8))
    paint(canvas, tissues.marrow * 1.1, inside(np.sqrt((p.x / 1.25) ** 2 + (y - 25) ** 2) - 3.8))


def _paint_great_vessels(canvas: Numbers, body: Body, tissues: Tissues, p: Points) -> None:
    """Arch and descending aorta, caval veins, branches of the pulmonary artery, pulmonary veins."""
    back = body.depth * 0.62 - 27
    lumens = [
        path(p, [(2, -24, 48), (-10, -22, 72), (0, -8, 94), (12, 14, 96), (20, back - 8, 82), (22, back, 50)], 12.5),
        tube(p, (22, back, 50), (14, back + 2, -220), 10.5),
        tube(p, (-34, -14, 30), (-30, -16, 130), 8.5),
        path(p, [(-26, 8, -10), (-24, 14, -60), (-20, back - 6, -120), (-18, back, -220)], 10.5),
        path(p, [(6, -30, 50), (8, -8, 58), (-24, 8, 56), (-58, 16, 44)], 9.5),
        path(p, [(8, -8, 58), (30, 14, 62), (52, 24, 48)], 9),
        path(p, [(-10, 20, 30), (-45, 28, 22), (-75, 34, 4)], 6.0),
        path(p, [(16, 22, 34), (42, 34, 24), (66, 40, 4)], 6.0),
    ]
    distance = functools.reduce(np.minimum, lumens)
    paint(canvas, tissues.muscle, inside(distance - 1.6))
    paint(canvas, tissues.blood, inside(distance))
