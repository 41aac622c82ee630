"""The joint itself, painted over the limb: bones, cartilage, menisci, ligaments and the fluid between them."""

import numpy as np

from jaxssl.data.phantom.knee.bones import Knee, Surfaces, rim_distance
from jaxssl.data.phantom.knee.limb import Limb, Scene
from jaxssl.data.phantom.knee.solids import cone
from jaxssl.data.phantom.shapes import Numbers, Points, inside, paint, path, ramp, tube

PHYSIS = (36.0, -17.0)
"""Height of the scar of the growth plate in femur and tibia."""


def paint_bones(canvas: Numbers, d: Surfaces, s: Scene) -> None:
    """Cortex, thicker along the shafts, marrow with its islands and the scars of the growth plates."""
    p, tissues = s.p, s.tissues
    marrow = tissues.marrow * (1 + 0.07 * s.coarse + 0.08 * s.fine)
    islands = ramp(s.coarse + 0.5 * s.fine, 0.6, 2.2) * ramp(p.z, 45, 70)
    marrow += 0.35 * islands * (tissues.muscle - marrow)
    for bone, height in zip((d.femur, d.tibia), PHYSIS, strict=True):
        scar = np.abs(p.z - height - 2.5 * s.coarse - 0.004 * p.x * p.x + 0.05 * p.y)
        paint(canvas, tissues.bone, inside(bone))
        cortex = 1.0 + 2.2 * ramp(np.abs(p.z - 8), 35, 75)
        paint(canvas, marrow, inside(bone + cortex))
        paint(canvas, 0.5 * tissues.marrow, 0.7 * inside(scar - 0.5) * inside(bone + cortex))


def paint_joint(canvas: Numbers, knee: Knee, limb: Limb, d: Surfaces, s: Scene) -> None:
    """Everything between the bones."""
    p, tissues = s.p, s.tissues
    outside = inside(-np.minimum(d.femur, d.tibia))
    film = np.maximum(d.femoral_cartilage - 0.6 - 0.08 * limb.fluid, p.z - 34 + 0.18 * p.y)
    within = np.maximum(np.abs(p.x) - 31, -d.above)
    notch = np.maximum(np.maximum(np.abs(p.x) - knee.notch, np.abs(p.y - 6) - 16), p.z - 32)
    grey = 0.55 * tissues.fat + 0.45 * tissues.muscle
    paint(canvas, grey * (1 + 0.2 * s.fine), 0.8 * ramp(-notch, 0, 7) * outside)
    paint(canvas, tissues.fluid, 0.75 * inside(np.maximum(film, within)) * outside)
    _paint_cruciates(canvas, knee, outside, s)
    _paint_collaterals(canvas, knee, outside, s)
    _paint_menisci(canvas, knee, limb, d, s)
    for cartilage in (d.tibial_cartilage, d.femoral_cartilage):
        paint(canvas, tissues.cartilage * (1 + 0.06 * s.fine + 0.05 * s.coarse), inside(cartilage) * outside)


def _paint_menisci(canvas: Numbers, knee: Knee, limb: Limb, d: Surfaces, s: Scene) -> None:
    """Dark wedges, one of them perhaps torn."""
    paint(canvas, s.tissues.meniscus * (1 + 0.2 * s.fine), inside(d.menisci))
    if limb.tear is not None:
        half = knee.medial if limb.tear.side < 0 else knee.lateral
        depth = -rim_distance(half, s.p.x, s.p.y)
        rise = (d.above - limb.tear.height) * np.cos(limb.tear.tilt) - (depth - 3) * np.sin(limb.tear.tilt)
        cleft = np.maximum(np.abs(rise) - 0.7, np.maximum(5 - s.p.y, 3 - half.side * s.p.x))
        paint(canvas, 0.9 * s.tissues.fluid, inside(cleft) * inside(d.menisci))


def _paint_cruciates(canvas: Numbers, knee: Knee, outside: Numbers, s: Scene) -> None:
    """The anterior one, striped, runs up and back to the lateral condyle; the posterior one is dark and arched."""
    p, tissues, side = s.p, s.tissues, knee.notch
    anterior = cone(p, (-2, -7, 3), (side - 2.5, 19, 34), 5.0, 3.4)
    stripes = 0.5 + 0.5 * np.sin(1.3 * (p.y * 0.72 - p.z * 0.69) + 1.5 * s.fine)
    signal = tissues.ligament + 0.3 * stripes * (tissues.muscle - tissues.ligament)
    posterior = path(p, [(0, 25, -10), (-1, 21, 6), (-3, 13, 18), (2.5 - side, 0, 24)], 4.6)
    paint(canvas, tissues.ligament, inside(posterior) * outside)
    paint(canvas, signal, inside(anterior) * outside)


def _paint_collaterals(canvas: Numbers, knee: Knee, outside: Numbers, s: Scene) -> None:
    """Bands along the medial and the lateral side, and the iliotibial tract."""
    p = s.p
    medial, lateral = (half.middle + half.half_width for half in knee.halves)
    plateau = knee.plateau[0]
    flat = Points(p.x, 0.25 * (p.y - 2), p.z)
    bands = [
        path(flat, [(-medial - 0.8, 0, 28), (-plateau - 2.6, 0, 0), (-plateau + 5, 0, -26), (-22, 0, -55)], 1.3),
        tube(p, (lateral + 1.5, 8, 26), (38, 16, -12), 2.2),
        path(flat, [(lateral + 6, -2, 90), (lateral + 5, -3, 28), (plateau + 1, -3.5, -8)], 1.2),
    ]
    for band in bands:
        paint(canvas, s.tissues.ligament, inside(band) * outside)
