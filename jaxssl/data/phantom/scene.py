"""The signal and the labels of a subject at any points of patient space and any moment of the beat."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxssl.data.phantom.chest import paint_chest
from jaxssl.data.phantom.heart import paint_heart
from jaxssl.data.phantom.population import Subject
from jaxssl.data.phantom.scanner import VENDORS
from jaxssl.data.phantom.shapes import Points
from jaxssl.data.phantom.ventricles import distances, labels

SUBSLICES = (-1 / 3, 0.0, 1 / 3)
"""Depths, as a part of the thickness, whose mean is the signal of a thick slice."""


class Beat(NamedTuple):
    """A moment of the beat: contraction 0 at end-diastole and 1 at end-systole, and whether the ventricles are filling."""

    contraction: float
    filling: bool


def end_systole(phases: int) -> int:
    """The phase of greatest contraction, a little more than a third into the beat."""
    return max(round(0.36 * phases), 1) if phases > 1 else 0


def beat(phase: int, phases: int) -> Beat:
    """The moment of one of `phases` frames: contraction, fast filling, rest, and filling by the atria."""
    systole = end_systole(phases)
    if phase <= systole:
        return Beat(math.sin(math.pi / 2 * phase / max(systole, 1)) ** 2, False)
    rest = (phase - systole) / (phases - systole)
    return Beat(1 - 0.78 * _smooth(rest / 0.5) - 0.22 * _smooth((rest - 0.65) / 0.35), True)


def clean_signal(subject: Subject, where: np.ndarray, moment: Beat) -> np.ndarray:
    """Signed signal (fat negative) at patient points [..., 3]: no slice thickness, displacement, coil or noise.

    A function of the point alone, so that images of different planes agree where the planes meet.
    """
    return next(frames(subject, where[None], [moment]))


def masks(subject: Subject, where: np.ndarray, moments: Sequence[Beat]) -> Iterator[np.ndarray]:
    """ACDC's label codes at patient points [..., 3], one moment after the other."""
    near, points = _near_heart(subject, where)
    for moment in moments:
        mask = np.zeros(where.shape[:-1], np.uint8)
        mask[near] = labels(distances(subject.heart.ventricles, moment.contraction, points))
        yield mask


def frames(subject: Subject, layers: np.ndarray, moments: Sequence[Beat]) -> Iterator[np.ndarray]:
    """Mean signed signal of layers of points [layer, ..., 3], one moment after the other.

    The chest does not move and is painted once; the heart is painted over it where it can be.
    """
    tissues, textures = VENDORS[subject.vendor].tissues, subject.textures
    x, y, z = ((layers[..., k] - subject.chest[k]).ravel().astype(np.float32) for k in range(3))
    chest = paint_chest(subject.body, textures, tissues, Points(x, y, z))
    chest = chest.reshape(layers.shape[:-1])
    near, points = _near_heart(subject, layers)
    for moment in moments:
        canvas, signal = chest[near], chest.copy()
        paint_heart(canvas, subject.heart, moment.contraction, textures, tissues, points, moment.filling)
        signal[near] = canvas
        yield signal.mean(axis=0)


def thick_slice(middle: np.ndarray, across: np.ndarray, thickness: float) -> np.ndarray:
    """Layers [layer, y, x, 3] through the thickness of a slice whose middle is at the points [y, x, 3]."""
    return np.stack([middle + depth * thickness * across for depth in SUBSLICES])


def _near_heart(subject: Subject, where: np.ndarray) -> tuple[np.ndarray, Points]:
    """Which points the heart can reach, and those points in the heart frame."""
    middle, radius = subject.heart.sphere
    centre = subject.origin + middle @ subject.axes
    near = sum((where[..., k] - np.float32(centre[k])) ** 2 for k in range(3)) < radius**2
    heart = subject.axes @ (where[near] - subject.origin).T
    return near, Points(*heart.astype(np.float32))


def _smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)
