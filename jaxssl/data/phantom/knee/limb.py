"""Everything round the bones: skin, fat, muscles, vessels, patella and fibula, tendons, fluid of the joint."""

import functools
import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from jaxssl.data.phantom.knee.bones import Knee
from jaxssl.data.phantom.knee.solids import both, cone, ellipse, joined
from jaxssl.data.phantom.knee.tissue import KneeTextures, KneeTissues
from jaxssl.data.phantom.shapes import Numbers, Points, ellipsoid, inside, paint, path, ramp, tube

OUTLINE = PchipInterpolator(
    (-130, -75, -35, 0, 35, 70, 140),
    ((50, 54, 16), (52, 53, 13), (51, 50, 8), (53, 53, 5), (56, 58, 0), (61, 61, 0), (74, 72, 0)),
)
"""Half the width and the depth of the leg, and its middle along y, at heights z."""

Ball = tuple[tuple[float, float, float], float]
"""Centre and radius of one end of a muscle."""

MUSCLES: tuple[tuple[Ball, ...], ...] = (
    (((-30, -24, 32), 5), ((-37, -14, 75), 20), ((-34, -10, 150), 32)),  # vastus medialis
    (((31, -22, 50), 5), ((36, -10, 90), 20), ((36, -8, 150), 32)),  # vastus lateralis
    (((0, -36, 82), 4), ((0, -40, 110), 12), ((0, -42, 150), 18)),  # rectus femoris
    (((-31, 36, -8), 4), ((-26, 38, 40), 14), ((-22, 38, 140), 24)),  # semimembranosus
    (((-47, 22, -20), 3), ((-47, 26, 30), 7), ((-46, 22, 140), 11)),  # sartorius, gracilis
    (((38, 30, 2), 4), ((34, 36, 45), 13), ((26, 40, 140), 22)),  # biceps femoris
    (((-19, 36, 36), 4), ((-20, 42, 0), 13), ((-21, 44, -60), 23), ((-20, 42, -130), 26)),  # gastrocnemius, medial
    (((20, 35, 34), 4), ((21, 42, 0), 11), ((19, 44, -60), 21), ((16, 42, -130), 24)),  # its lateral head
    (((28, 22, 4), 2), ((4, 23, -28), 9), ((-6, 20, -70), 15), ((0, 22, -140), 24)),  # popliteus, soleus
    (((31, -8, -28), 5), ((29, -6, -75), 17), ((28, -4, -140), 20)),  # extensors of the foot
    (((42, 14, -30), 4), ((40, 14, -80), 13), ((38, 14, -140), 14)),  # peroneal muscles
)


class Tear(NamedTuple):
    """A cleft through the posterior horn of a meniscus."""

    side: int
    tilt: float
    """Its angle with the plateau, in radians."""
    height: float
    """Where it begins at the rim, over the plateau."""


@dataclass(frozen=True)
class Limb:
    """Soft tissue of one subject; lengths in mm of a knee of standard size."""

    fat: float
    """Thickness under the skin."""
    muscle: float
    """Thickness of the muscles, 1 for normal."""
    patella: tuple[float, float]
    """Middle of the patella along x and z."""
    fluid: float
    """Half the depth of the pouch above the patella."""
    tear: Tear | None


class Scene(NamedTuple):
    """Points and what is known of them by all who paint there."""

    p: Points
    tissues: KneeTissues
    coarse: Numbers
    fine: Numbers
    strands: Numbers


def scene(textures: KneeTextures, tissues: KneeTissues, p: Points) -> Scene:
    """The points with the fields at them."""
    return Scene(p, tissues, textures.coarse(p), textures.fine(p), textures.strands(p))


def skin_distance(limb: Limb, p: Points) -> Numbers:
    """Distance from the skin."""
    width, depth, middle = _outline(p.z)
    kneecap = 5 * np.exp(-((p.x / 30) ** 2) - ((p.z - limb.patella[1]) / 30) ** 2) * ramp(-p.y, 0, 15)
    return ellipse(p.x, p.y - middle, width + limb.fat - 6, depth + 0.5 * (limb.fat - 6)) - kneecap


def paint_limb(canvas: Numbers, limb: Limb, knee: Knee, skin: Numbers, s: Scene) -> None:
    """Paint all but the bones of the joint, from the skin inwards."""
    tissues = s.tissues
    paint(canvas, tissues.skin, inside(skin))
    fat = tissues.fat * (1 + 0.05 * s.fine + 0.06 * s.coarse)
    paint(canvas, fat, inside(skin + 1.2))
    septa = inside(np.abs(s.strands + 0.4 * s.coarse) * 4 - 0.1) * inside(skin + 2)
    paint(canvas, 0.3 * tissues.fat + 0.4 * tissues.muscle, 0.4 * septa)
    _paint_muscles(canvas, limb, skin, s)
    _paint_vessels(canvas, s)
    paint_bone(canvas, _fibula(s.p), s)
    _paint_pouch(canvas, limb, knee, s)
    _paint_extensors(canvas, limb, knee, s)


def _outline(z: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Half the width, half the depth and the middle of the leg, from a table by the millimetre."""
    heights = np.arange(-130, 141)
    width, depth, middle = (np.interp(z, heights, c).astype(np.float32) for c in OUTLINE(heights).T)
    return width, depth, middle


def _paint_muscles(canvas: Numbers, limb: Limb, skin: Numbers, s: Scene) -> None:
    """Muscles with streaks of fat; fat remains where two meet."""
    deep = skin + limb.fat + 1.5
    flesh = s.tissues.muscle * (1 + 0.08 * s.coarse + 0.08 * s.fine)
    streaks = inside(np.abs(s.strands) * 4 - 0.2)
    flesh += 0.35 * streaks * (s.tissues.fat - flesh)
    for balls in MUSCLES:
        pieces = (
            cone(s.p, start, end, radius * limb.muscle, end_radius * limb.muscle)
            for (start, radius), (end, end_radius) in itertools.pairwise(balls)
        )
        muscle = functools.reduce(np.minimum, pieces)
        paint(canvas, s.tissues.fat, 0.8 * inside(np.maximum(muscle - 0.8, deep)))
        paint(canvas, flesh, inside(np.maximum(muscle, deep)))


def _paint_vessels(canvas: Numbers, s: Scene) -> None:
    """Artery, vein and nerve behind the joint; blood that flows fast gives no signal."""
    vein = path(s.p, [(2, 26, 110), (4, 37, 62), (4, 42, 36), (3, 41, 10), (2, 37, -16), (2, 33, -120)], 4.2)
    artery = path(s.p, [(-6, 18, 110), (-3, 28, 62), (-2, 33, 36), (-2, 33, 10), (-1, 30, -16), (0, 27, -120)], 3.2)
    nerve = path(s.p, [(12, 44, 110), (10, 50, 40), (7, 46, -5), (6, 42, -120)], 2.4)
    saphenous = path(s.p, [(-50, 34, 110), (-54, 28, 0), (-48, 22, -120)], 1.8)
    paint(canvas, s.tissues.muscle, inside(np.minimum(vein, artery) - 1))
    paint(canvas, s.tissues.vein, inside(np.minimum(vein, saphenous)))
    paint(canvas, s.tissues.ligament, inside(artery))
    paint(canvas, 0.9 * s.tissues.muscle, inside(nerve))


def _fibula(p: Points) -> Numbers:
    """Distance from its head and shaft."""
    return joined(cone(p, (35, 19, -17), (36, 16, -45), 9, 5.5), tube(p, (36, 16, -45), (37, 14, -150), 5.5), 4)


def _paint_pouch(canvas: Numbers, limb: Limb, knee: Knee, s: Scene) -> None:
    """Fluid of the joint above the patella and beside the condyles."""
    x, z = limb.patella
    depth = limb.fluid
    pouch = ellipsoid(s.p, (x, knee.front - 2, z + 30), (9 + 3.5 * depth, 0.4 + depth, 8 + 3 * depth))
    beside = s.p._replace(x=np.abs(s.p.x))
    gutters = ellipsoid(beside, (36, -12, 27), (1 + 1.1 * depth, 6 + 1.5 * depth, 6 + 2.5 * depth))
    paint(canvas, s.tissues.fluid, inside(joined(pouch, gutters, 3) + 0.07 * depth * s.coarse))


def _paint_extensors(canvas: Numbers, limb: Limb, knee: Knee, s: Scene) -> None:
    """Patella with its cartilage, the tendons that hold it, and its straps."""
    p, tissues = s.p, s.tissues
    x, z = limb.patella
    near = ramp(-p.y, 0, 6)
    ridge = knee.front + knee.groove - 8.5
    # Narrower towards its apex.
    tapered = Points((p.x - x) * (1 - 0.008 * (p.z - z)), p.y, p.z)
    body = ellipsoid(tapered, (0, ridge - 9.5, z), (21, 12.5, 21))
    facets = p.y - ridge + 0.32 * np.sqrt((p.x - x) ** 2 + 9)
    patella = both(body, facets, 3)
    across, along = ((p.x - x) / 14) ** 2, ((p.z - z - 2) / 15) ** 2
    thick = 4.2 * np.exp(-across * across - along * along)
    cartilage = np.maximum(np.maximum(body, facets - thick), -facets)
    front = ridge - 18
    flat = Points(0.24 * (p.x - x), p.y, p.z)
    patellar = path(flat, [(0, front + 4, z - 17), (0, front + 7, z - 30), (0, -24, -34), (0, -25, -46)], 2.7)
    quadriceps = path(flat, [(0, front + 4, z + 16), (0, front + 3, z + 50), (0, front, z + 80)], 3.4)
    straps = np.maximum(np.abs(ellipse(p.x, p.y - 8, 44.0, 50.0)) - 0.6, p.y + 8)
    paint(canvas, tissues.ligament, 0.7 * inside(straps) * (1 - ramp(np.abs(p.z - z), 8, 30)))
    tendons = np.minimum(patellar, quadriceps)
    paint(canvas, tissues.ligament * (1 + 0.5 * ramp(s.fine, 0, 2)), inside(tendons) * near)
    paint(canvas, tissues.cartilage, inside(cartilage) * near)
    paint_bone(canvas, patella, s)


def paint_bone(canvas: Numbers, bone: Numbers, s: Scene) -> None:
    """A thin cortex and marrow."""
    paint(canvas, s.tissues.bone, inside(bone))
    paint(canvas, s.tissues.marrow * (1 + 0.08 * s.coarse + 0.1 * s.fine), inside(bone + 1.2))
