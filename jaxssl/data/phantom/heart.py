"""The beating heart painted over the chest: walls, chambers, valves, papillary muscles, fat of the pericardium."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxssl.data.phantom.beat import Beat
from jaxssl.data.phantom.shapes import Numbers, Points, ellipsoid, inside, paint, path, ramp, tube
from jaxssl.data.phantom.tissue import Textures, Tissues
from jaxssl.data.phantom.ventricles import (
    APICAL_WALL,
    Distances,
    Ventricles,
    distances,
    left_frame,
    radius_and_wall,
    right_frame,
)


@dataclass(frozen=True)
class Heart:
    """Ventricles and what hangs on them; lengths in mm in the frame of `ventricles`."""

    ventricles: Ventricles
    atria: float
    """Size of the atria, 1 for normal."""
    right_wall: float
    fat: float
    """Mean thickness of the fat under the pericardium."""
    papillary: tuple[float, float]
    """Angles of the two papillary muscles."""

    @property
    def sphere(self) -> tuple[np.ndarray, float]:
        """Centre and radius of a sphere in the heart frame outside of which `paint_heart` paints nothing."""
        v = self.ventricles
        roof = 46 * self.atria + 18
        apex = v.length + APICAL_WALL * max(v.wall) * (1 + v.septal_bulge) + self.fat
        centre = np.array([0.32 * v.rv_reach[0], 0.0, (apex - roof) / 2])
        return centre, max((apex + roof) / 2 + 0.2 * v.rv_reach[0], 0.8 * v.rv_reach[0] + 26)


class _Now(NamedTuple):
    """The heart at one moment, and what all its parts need to know of the points they are painted at."""

    heart: Heart
    contraction: float
    tissues: Tissues
    p: Points
    d: Distances
    coarse: Numbers
    fine: Numbers


def paint_heart(canvas: Numbers, heart: Heart, moment: Beat, textures: Textures, tissues: Tissues, p: Points) -> None:
    """Paint the heart over the chest, in place, at heart-frame points."""
    contraction, filling = moment
    d = distances(heart.ventricles, contraction, p)
    now = _Now(heart, contraction, tissues, p, d, textures.coarse(p), textures.fine(p))
    _paint_walls_and_blood(canvas, now)
    _paint_trabeculae(canvas, now)
    _paint_papillary(canvas, now)
    _paint_atrioventricular_valves(canvas, now, filling)
    if filling:
        _paint_aortic_valve(canvas, now)


def _paint_walls_and_blood(canvas: Numbers, now: _Now) -> None:
    """Fat, muscle and the six bloods: two atria, two ventricles, aorta, pulmonary trunk."""
    heart, contraction, tissues, p, d, coarse, fine = now
    left_atrium, right_atrium = _atria(heart, contraction, p)
    aorta, outflow = _roots(heart.ventricles, contraction, p)
    tricuspid = right_frame(heart.ventricles, contraction).base
    right_wall = np.minimum(np.maximum(d.right - heart.right_wall, tricuspid - p.z), outflow - 2.0)
    walls = np.minimum(np.minimum(d.epicardium, right_wall), np.minimum(left_atrium, right_atrium) - 2.0)
    ring = np.maximum(d.epicardium - 2.2, p.z - left_frame(heart.ventricles, contraction).base)
    walls = np.minimum(np.minimum(walls, aorta - 1.6), ring)
    _paint_sac(canvas, now, walls)
    paint(canvas, tissues.myocardium * (1 + 0.09 * coarse + 0.06 * fine), inside(walls))
    blood = tissues.blood * (1 + 0.045 * coarse + 0.03 * fine)
    outside_left = -d.epicardium
    for chamber in (np.maximum(right_atrium, np.maximum(outside_left, 2 - left_atrium)), left_atrium):
        paint(canvas, blood, inside(chamber))
    paint(canvas, tissues.myocardium, inside(np.minimum(aorta, np.maximum(outflow, outside_left)) - 1.6))
    for chamber in (np.maximum(np.minimum(outflow, d.right), outside_left), aorta, d.endocardium):
        paint(canvas, blood, inside(chamber))


def _atria(heart: Heart, contraction: float, p: Points) -> tuple[Numbers, Numbers]:
    """Distances from the left and the right atrium, which fill as the valves move away from their fixed roofs."""
    v = heart.ventricles
    left, right = left_frame(v, contraction).base, right_frame(v, contraction).base
    size = heart.atria
    radius = v.radius[0] * 0.87
    roof, ceiling = -46 * size, -42 * size
    left_atrium = ellipsoid(
        p, (-5, -9, (left + roof) / 2 - 2), (radius * size * 0.95, radius * size * 1.05, (left - roof) / 2 + 6)
    )
    width = (0.34 * v.rv_reach[0] * size, 0.62 * v.rv_span[0] * size)
    middle = (0.64 * v.rv_reach[0], -8, (right + ceiling) / 2 - 1)
    right_atrium = ellipsoid(p, middle, (*width, (right - ceiling) / 2 + 6))
    return np.maximum(left_atrium, p.z - left), np.maximum(right_atrium, p.z - right)


def _roots(v: Ventricles, contraction: float, p: Points) -> tuple[Numbers, Numbers]:
    """Distances from the root of the aorta and the outflow tract of the right ventricle with the pulmonary trunk."""
    left, right = left_frame(v, contraction).base, right_frame(v, contraction).base
    aorta = path(p, [(12, 11, 0.8 * left), (15, 17, -20), (14, 27, -42)], 13.0)
    aorta = np.maximum(aorta, p.z - left)
    outflow = path(p, [(34, 24, right + 8), (22, 34, -8), (8, 38, -34)], 12.5)
    return aorta, outflow


def _paint_sac(canvas: Numbers, now: _Now, walls: Numbers) -> None:
    """Pericardium and the fat within it: thick in the grooves and over the right heart, thin beside the left lung."""
    rightward = ramp(now.p.x, -25, 35)
    groove = np.exp(-(((now.p.z - 4) / 14) ** 2))
    thickness = now.heart.fat * (0.35 + 0.8 * rightward + 0.9 * groove) * (1 + 0.4 * now.coarse)
    sac = walls - np.maximum(thickness, 0.8)
    paint(canvas, now.tissues.muscle, inside(sac - 1.2))
    paint(canvas, 0.8 * now.tissues.fat * (1 + 0.12 * now.fine), inside(sac))


def _paint_trabeculae(canvas: Numbers, now: _Now) -> None:
    """Muscle bridges near the walls of both cavities, denser on the right and towards the apex; a moderator band."""
    v, p, d, fine = now.heart.ventricles, now.p, now.d, now.fine
    apical = ramp(p.z, 0.35 * v.length, 0.95 * v.length)
    left = ramp(fine, 0.7 - 0.4 * apical, 1.1 - 0.4 * apical) * inside(-d.endocardium - 3.5 - 3 * apical)
    paint(canvas, now.tissues.myocardium, 0.75 * left * inside(d.endocardium))
    right = ramp(fine, 0.8 - 0.8 * apical, 1.2 - 0.8 * apical) * inside(-d.right - 5 - 4 * apical)
    cavity = inside(np.maximum(d.right, -d.epicardium))
    paint(canvas, now.tissues.myocardium, 0.7 * right * cavity)
    reach, height = right_frame(v, now.contraction).reach, 0.6 * v.length
    band = tube(p, (0.5 * v.radius[0], 6, height), (0.85 * reach, 4, height + 8), 2.6)
    paint(canvas, now.tissues.myocardium, inside(band) * cavity)


def _paint_papillary(canvas: Numbers, now: _Now) -> None:
    """Two muscles from the free wall towards the mitral valve, and their cords."""
    v, p, cavity = now.heart.ventricles, now.p, inside(now.d.endocardium)
    base = left_frame(v, now.contraction).base
    foot_height, tip_height = base + 0.78 * (v.length - base), base + 0.42 * (v.length - base)
    width = 0.16 * v.radius[0] * (1 + 0.2 * now.contraction)
    for angle in now.heart.papillary:
        cos, sin = np.array([math.cos(angle)]), np.array([math.sin(angle)])
        radius = float(radius_and_wall(v, now.contraction, cos, sin, np.array([tip_height]))[0][0])
        x, y = radius * math.cos(angle), radius * math.sin(angle)
        tip = (0.66 * x, 0.66 * y, tip_height)
        muscle = tube(p, (0.72 * x, 0.72 * y, foot_height), tip, width) + 1.3 * now.fine
        paint(canvas, now.tissues.myocardium, inside(muscle) * cavity)
        cord = tube(p, tip, (0.35 * x, 0.35 * y, base + 6), 0.5)
        paint(canvas, now.tissues.myocardium, 0.5 * inside(cord) * cavity)


def _paint_atrioventricular_valves(canvas: Numbers, now: _Now, filling: bool) -> None:
    """Mitral and tricuspid leaflets: a shallow tent when closed, folded into the ventricles while they fill."""
    v, p = now.heart.ventricles, now.p
    left, right = left_frame(v, now.contraction).base, right_frame(v, now.contraction).base
    rings = ((-5.0, -8.0, left, 0.55 * v.radius[0]), (0.62 * v.rv_reach[0], -7.0, right, 0.29 * v.rv_reach[0]))
    for x, y, base, radius in rings:
        rho = np.sqrt((p.x - x) ** 2 + (p.y - y) ** 2) / np.float32(radius)
        if filling:
            # A steep sheet: its thickness is measured across, not along the axis.
            sheet = 0.6 * np.abs(p.z - base - 24 * (1 - rho))
            leaflet = np.maximum(sheet - 0.8, np.maximum(rho - 1, 0.5 - rho) * radius)
        else:
            leaflet = np.maximum(np.abs(p.z - base - 6 * (1 - rho)) - 0.8, (rho - 1) * radius)
        paint(canvas, 0.9 * now.tissues.myocardium, 0.8 * inside(leaflet))


def _paint_aortic_valve(canvas: Numbers, now: _Now) -> None:
    """A closed disc across the root of the aorta."""
    height = left_frame(now.heart.ventricles, now.contraction).base - 7
    disc = tube(now.p, (12, 11, height), (12.5, 12, height + 0.8), 12.5)
    closed = np.maximum(disc, np.abs(now.p.z - height) - 0.7)
    paint(canvas, now.tissues.myocardium, 0.7 * inside(closed))
