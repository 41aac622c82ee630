"""Folders of images as people have them, for tests of what lists them."""

from pathlib import Path

import numpy as np
from PIL import Image as Picture
from scans import nifti

from jaxssl.data.datasets import Set
from jaxssl.data.subject import Subject

RNG = np.random.default_rng(0)


def volume(path: Path, *axes: int, codes: bool = False) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = RNG.integers(0, 4 if codes else 900, (5, 4, *axes)).astype(np.uint8 if codes else np.int16)
    nifti(path, array)
    return array


def picture(path: Path) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (4, 5)).astype(np.uint8)
    Picture.fromarray(pixels).save(path)
    return pixels


def grey(path: Path, pixels: np.ndarray | None = None) -> np.ndarray:
    """A picture of 9 rows and 12 columns, unless it is given."""
    pixels = RNG.integers(0, 256, (9, 12)).astype(np.uint8) if pixels is None else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(pixels).save(path)
    return pixels


def smooth(seed: int, shape: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A picture with a pattern of its own, as coarse as an ultrasound image."""
    spots = np.random.default_rng(seed).random((12, 16)) * 255
    height, width = shape
    return np.asarray(Picture.fromarray(spots.astype(np.uint8)).resize((width, height), Picture.Resampling.BICUBIC))


def with_rejects(kind: Set, source: Path) -> tuple[list[Subject], dict[str, str]]:
    rejects = {}
    subjects = list(kind.subjects(source, lambda path, reason: rejects.update({path.name: reason})))
    return subjects, rejects


def names_of(subject: Subject) -> list[list[str]]:
    return [[path.name for path in series.files] for series in subject.series]
