"""The signal and the labels of a subject at any points of patient space and any moment of the beat."""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxssl.data.phantom.beat import Beat
from jaxssl.data.phantom.chest import paint_chest
from jaxssl.data.phantom.heart import paint_heart
from jaxssl.data.phantom.population import Subject
from jaxssl.data.phantom.scanner import VENDORS
from jaxssl.data.phantom.shapes import Points
from jaxssl.data.phantom.ventricles import distances, labels

SUBSLICES = (-1 / 3, 0.0, 1 / 3)
"""Depths, as a part of the thickness, whose mean is the signal of a thick slice."""


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
        paint_heart(canvas, subject.heart, moment, textures, tissues, points)
        signal[near] = canvas
        yield signal.mean(axis=0)


def thick_slice(middle: np.ndarray, across: np.ndarray, thickness: float) -> np.ndarray:
    """Layers [layer, y, x, 3] through the thickness of a slice whose middle is at the points [y, x, 3]."""
    return np.stack([middle + depth * thickness * across for depth in SUBSLICES])


def _near_heart(subject: Subject, where: np.ndarray) -> tuple[np.ndarray, Points]:
    """Which points the heart can reach, and those points in the heart frame."""
    middle, radius = subject.heart.sphere
    centre = subject.origin + middle @ subject.axes
    x, y, z = (where[..., k] - np.float32(centre[k]) for k in range(3))
    near = x * x + y * y + z * z < radius**2
    heart = subject.axes @ (where[near] - subject.origin).T
    return near, Points(*heart.astype(np.float32))
