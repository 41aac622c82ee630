"""The beating heart painted over the chest: walls, chambers, valves, papillary muscles, fat of the pericardium."""

import math
from dataclasses import dataclass

import numpy as np

from jaxssl.data.phantom.shapes import Numbers, Points, ellipsoid, inside, paint, path, ramp, tube
from jaxssl.data.phantom.tissue import Textures, Tissues
from jaxssl.data.phantom.ventricles import Distances, Ventricles, distances, left_frame, radius_and_wall, right_frame


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
        centre = np.array([0.25 * v.rv_reach[0], 2.0, 0.5 * v.length - 25])
        return centre, max(0.5 * v.length + 44, 0.8 * v.rv_reach[0] + 26)


def paint_heart(
    canvas: Numbers, heart: Heart, contraction: float, textures: Textures, tissues: Tissues, p: Points, open_valves: bool
) -> None:
    """Paint the heart over the chest, in place, at heart-frame points."""
    d = distances(heart.ventricles, contraction, p)
    left_atrium, right_atrium = _atria(heart, contraction, p)
    aorta, outflow = _roots(heart.ventricles, contraction, p)
    coarse, fine = textures.coarse(p), textures.fine(p)
    tricuspid = right_frame(heart.ventricles, contraction).base
    right_wall = np.minimum(np.maximum(d.right - heart.right_wall, tricuspid - p.z), outflow - 2.0)
    walls = np.minimum(np.minimum(d.epicardium, right_wall), np.minimum(left_atrium, right_atrium) - 2.0)
    walls = np.minimum(walls, aorta - 1.6)
    _paint_sac(canvas, heart, tissues, p, walls, coarse, fine)
    paint(canvas, tissues.myocardium * (1 + 0.09 * coarse + 0.06 * fine), inside(walls))
    blood = tissues.blood * (1 + 0.045 * coarse + 0.03 * fine)
    outside_left = -d.epicardium
    for chamber in (np.maximum(right_atrium, np.maximum(outside_left, 2 - left_atrium)), left_atrium):
        paint(canvas, blood, inside(chamber))
    paint(canvas, tissues.myocardium, inside(np.minimum(aorta, np.maximum(outflow, outside_left)) - 1.6))
    for chamber in (np.maximum(np.minimum(outflow, d.right), outside_left), aorta, d.endocardium):
        paint(canvas, blood, inside(chamber))
    _paint_trabeculae(canvas, heart, contraction, tissues, p, d, fine)
    _paint_papillary(canvas, heart, contraction, tissues, p, d, fine)
    _paint_valves(canvas, heart.ventricles, contraction, tissues, p, open_valves)


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
    right_atrium = ellipsoid(p, (0.64 * v.rv_reach[0], -8, (right + ceiling) / 2 - 1), (*width, (right - ceiling) / 2 + 6))
    return np.maximum(left_atrium, p.z - left), np.maximum(right_atrium, p.z - right)


def _roots(v: Ventricles, contraction: float, p: Points) -> tuple[Numbers, Numbers]:
    """Distances from the root of the aorta and the outflow tract of the right ventricle with the pulmonary trunk."""
    left, right = left_frame(v, contraction).base, right_frame(v, contraction).base
    aorta = path(p, [(12, 9, 0.8 * left), (15, 13, -20), (14, 24, -42)], 13.0)
    aorta = np.maximum(aorta, p.z - left)
    outflow = path(p, [(34, 24, right + 8), (22, 34, -8), (8, 38, -34)], 12.5)
    return aorta, outflow


def _paint_sac(
    canvas: Numbers, heart: Heart, tissues: Tissues, p: Points, walls: Numbers, coarse: Numbers, fine: Numbers
) -> None:
    """Pericardium and the fat within it: thick in the grooves and over the right heart, thin beside the left lung."""
    rightward = ramp(p.x, -25, 35)
    groove = np.exp(-(((p.z - 4) / 14) ** 2))
    thickness = heart.fat * (0.35 + 0.8 * rightward + 0.9 * groove) * (1 + 0.4 * coarse)
    sac = walls - np.maximum(thickness, 0.8)
    paint(canvas, tissues.muscle, inside(sac - 1.2))
    paint(canvas, 0.8 * tissues.fat * (1 + 0.12 * fine), inside(sac))


def _paint_trabeculae(
    canvas: Numbers, heart: Heart, contraction: float, tissues: Tissues, p: Points, d: Distances, fine: Numbers
) -> None:
    """Muscle bridges near the walls of both cavities, denser in the right one and towards the apex."""
    apical = ramp(p.z, 0.35 * heart.ventricles.length, 0.95 * heart.ventricles.length)
    left = ramp(fine, 0.7 - 0.4 * apical, 1.1 - 0.4 * apical) * inside(-d.endocardium - 3.5 - 3 * apical)
    paint(canvas, tissues.myocardium, 0.75 * left * inside(d.endocardium))
    right = ramp(fine, 0.8 - 0.8 * apical, 1.2 - 0.8 * apical) * inside(-d.right - 5 - 4 * apical)
    cavity = np.maximum(d.right, -d.epicardium)
    paint(canvas, tissues.myocardium, 0.7 * right * inside(cavity))
    v, frame = heart.ventricles, right_frame(heart.ventricles, contraction)
    height = 0.6 * v.length
    band = tube(p, (0.5 * v.radius[0], 6, height), (0.85 * frame.reach, 4, height + 8), 2.6)
    paint(canvas, tissues.myocardium, inside(band) * inside(cavity))


def _paint_papillary(
    canvas: Numbers, heart: Heart, contraction: float, tissues: Tissues, p: Points, d: Distances, fine: Numbers
) -> None:
    """Two muscles from the free wall towards the mitral valve, and their cords."""
    v = heart.ventricles
    base = left_frame(v, contraction).base
    for angle in heart.papillary:
        cos, sin = math.cos(angle), math.sin(angle)
        foot_height, tip_height = base + 0.78 * (v.length - base), base + 0.42 * (v.length - base)
        direction = np.array([cos]), np.array([sin])
        radius = float(radius_and_wall(v, contraction, *direction, np.array([tip_height]))[0][0])
        foot, tip = 0.72 * radius, 0.66 * radius
        width = 0.16 * v.radius[0] * (1 + 0.2 * contraction)
        foot_point = (foot * cos, foot * sin, foot_height)
        tip_point = (tip * cos, tip * sin, tip_height)
        muscle = tube(p, foot_point, tip_point, width) + 1.3 * fine
        paint(canvas, tissues.myocardium, inside(muscle) * inside(d.endocardium))
        cord = tube(p, tip_point, (0.35 * radius * cos, 0.35 * radius * sin, base + 6), 0.5)
        paint(canvas, tissues.myocardium, 0.5 * inside(cord) * inside(d.endocardium))


def _paint_valves(
    canvas: Numbers, v: Ventricles, contraction: float, tissues: Tissues, p: Points, open_valves: bool
) -> None:
    """Mitral and tricuspid leaflets: a shallow tent when closed, folded into the ventricles when open."""
    left, right = left_frame(v, contraction).base, right_frame(v, contraction).base
    for x, y, base, radius in ((-4.0, -7.0, left, 19.0), (42.0, -6.0, right, 20.0)):
        rho = np.sqrt((p.x - x) ** 2 + (p.y - y) ** 2) / np.float32(radius)
        sheet = p.z - base - (20 * rho - 1 if open_valves else 6 * (1 - rho))
        edge = (rho - 1) * radius
        leaflet = np.maximum(np.abs(sheet) * (0.5 if open_valves else 1.0) - 0.8, edge)
        if open_valves:
            leaflet = np.maximum(leaflet, (0.45 - rho) * radius)
        paint(canvas, 0.9 * tissues.myocardium, 0.8 * inside(leaflet))
    outlet = tube(p, (12, 9, left - 7), (12.5, 10, left - 6.2), 12.5)
    if not open_valves:
        return
    paint(canvas, tissues.myocardium, 0.7 * inside(np.maximum(outlet, np.abs(p.z - left + 7) - 0.7)))
