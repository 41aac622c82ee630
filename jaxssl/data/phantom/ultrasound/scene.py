"""What a probe sees of a fetus in the womb, as one picture."""

import numpy as np
from scipy.signal import lfilter

from jaxssl.data.phantom.beat import Beat
from jaxssl.data.phantom.shapes import Numbers, Points
from jaxssl.data.phantom.ultrasound.canvas import SKIN, SOFT, Canvas, Tissue
from jaxssl.data.phantom.ultrasound.head import paint_face, paint_head
from jaxssl.data.phantom.ultrasound.heart import paint_heart
from jaxssl.data.phantom.ultrasound.limb import flesh, paint_thigh
from jaxssl.data.phantom.ultrasound.population import Fetus, Scan
from jaxssl.data.phantom.ultrasound.probe import Pose, Sector
from jaxssl.data.phantom.ultrasound.speckle import compress, envelope, scan_convert, transmitted
from jaxssl.data.phantom.ultrasound.trunk import Fields, paint_neck, paint_trunk

FAT = Tissue(-30, 0.14)
WOMB = Tissue(-28, 0.16)
PLACENTA = Tissue(-24, 0.15)
HAZE = 0.003
"""Of a mirror's amplitude, what rings on below it."""
RINGING = 0.965
"""How much of the ringing is left a row further down."""


def image(fetus: Fetus, scan: Scan, sector: Sector, pose: Pose, moment: Beat, rng: np.random.Generator) -> np.ndarray:
    """One picture [y, x] in uint8."""
    x, y = sector.beam_points()
    canvas = Canvas.blank(Points(*pose.place(x, y)), sector.row)
    _paint_womb(canvas, fetus, scan, sector)
    paint_fetus(canvas, fetus, moment)
    through = transmitted(canvas.loss * np.float32(scan.attenuation), sector.row, scan.compensation)
    through = 10 ** ((np.minimum(through, 9) - _lost(scan, sector)) / 20)
    mirror = canvas.mirror * through
    haze = np.asarray(lfilter([HAZE], [1, -RINGING], mirror, axis=0), np.float32)
    floor = scan.display.noise - 10 * (1 - sector.depths / sector.far)
    amplitude = 10 ** (canvas.echo / 20) * through
    amplitude = np.sqrt(amplitude**2 + haze**2 + 10 ** (floor[:, None] / 10))
    looks = [envelope(amplitude, mirror, sector, scan.beam, rng) for _ in range(scan.display.looks)]
    return scan_convert(compress(np.mean(looks, axis=0), scan.display), sector)


def paint_fetus(canvas: Canvas, fetus: Fetus, moment: Beat) -> None:
    """Paint whatever of the fetus the canvas reaches."""
    size = fetus.size
    for thigh in fetus.thighs:
        if (flesh(canvas.points, thigh) < 0).any():
            paint_thigh(canvas, thigh, fetus.fine(canvas.points))
    if trunk := canvas.around((0, 0, 0), size.trunk, 3.0):
        paint_neck(trunk)
        where = _millimetres(trunk)
        paint_trunk(trunk, Fields(fetus.coarse(where), fetus.fine(where)))
    if heart := canvas.around(fetus.heart, fetus.heart_unit, 2.0):
        paint_heart(heart, fetus.heart_axis, moment, fetus.fine(_millimetres(heart)))
    if head := canvas.around(fetus.head, size.head, 1.9):
        paint_face(head, size.lengthening)
        paint_head(head, size.lengthening, fetus.folds(_millimetres(head)), fetus.skull)


def _lost(scan: Scan, sector: Sector) -> Numbers:
    """dB lost by each beam for want of contact."""
    side = sector.angles / np.float32(scan.opening)
    left, right = scan.contact
    return left * np.maximum(-side, 0) ** 4 + right * np.maximum(side, 0) ** 4


def _millimetres(canvas: Canvas) -> Points:
    return Points(*(q * np.float32(canvas.unit) for q in canvas.points))


def _paint_womb(canvas: Canvas, fetus: Fetus, scan: Scan, sector: Sector) -> None:
    """The mother's skin, fat and muscle, the wall of the womb and the placenta, round an oval of fluid."""
    x, y = sector.beam_points()
    coarse, fine = fetus.coarse(canvas.points), fetus.fine(canvas.points)
    depth = sector.depths[:, None]
    front, back = scan.wall + scan.placenta, sector.far - 10
    half = (back - front) / 2
    across = scan.pocket * (back - front)
    round_ = np.sqrt(((y - (front + back) / 2) / half) ** 2 + (x / across - scan.lean) ** 2)
    cavity = (round_ - 1) * half + coarse
    canvas.fill(-cavity, PLACENTA if scan.placenta else WOMB, texture=2 * coarse)
    wall = depth - scan.wall + 0.8 * coarse
    canvas.fill(wall, WOMB, texture=2 * coarse)
    canvas.surface(wall, -16, width=0.6)
    canvas.fill(wall + 4, SOFT, texture=3 * np.sin(2.2 * depth + 2 * coarse), echo=-4)
    fat = depth - scan.fat * scan.wall + 0.5 * coarse
    canvas.surface(fat, -10, width=0.6)
    canvas.fill(fat, FAT, texture=2 * fine)
    canvas.fill(depth - 1.8, SKIN)
