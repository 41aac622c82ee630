"""What the files of a subject hold twice: an instance of a series, or the same images under another name."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxssl.data.datasets.base import Reject
from jaxssl.data.study import Loaded

File = list[Loaded]
"""The images of one file, of which there is one at least."""


def file_of(loaded: Loaded) -> Path:
    """The file that an image is in."""
    return loaded.series.files[loaded.file]


def instances(files: Sequence[File], reject: Reject) -> Sequence[File]:
    """The files of a series, of those with one SOPInstanceUID the first: another would become a phase that never was.

    Where UIDs are the same as a rule, somebody has written one over many, and they tell nothing.
    """
    named = [uid for images in files if (uid := images[0].image.instance)]
    different = len(set(named))
    if different < len(named) and (different == 1 or 2 * different < len(named)):
        first = file_of(files[0][0])
        reject(first, "its series has one SOPInstanceUID for many files, so that copies cannot be told: all kept")
        return files
    kept: dict[str | Path, File] = {}
    for images in files:
        file = file_of(images[0])
        if (same := kept.setdefault(images[0].image.instance or file, images)) is not images:
            reject(file, f"it has the SOPInstanceUID of {file_of(same[0]).name}")
    return [*kept.values()]


def without_copies(series: Iterable[Iterable[File]], reject: Reject) -> list[Loaded]:
    """The images of several series, of what is there more than once one, and that with a mask if there is one."""
    kept: dict[bytes, list[Loaded]] = {}
    for images in (unit for files in series for unit in _units(files)):
        content = _content(images)
        if (same := kept.setdefault(content, images)) is images:
            continue
        if images[0].series.masks and not same[0].series.masks:
            kept[content], images, same = images, same, images
        for file in dict.fromkeys(map(file_of, images)):
            reject(file, f"it holds the same images as {file_of(same[0]).name}")
    return [each for images in kept.values() for each in images]


def _units(files: Iterable[File]) -> Iterator[list[Loaded]]:
    """What is a copy of something as a whole, or not at all.

    That is a file whose images have a place or a time, and all others of a series together: two frames of a clip in
    which nothing moves are alike, and both belong to it.
    """
    others = []
    for images in files:
        if any(each.image.plane is not None or each.image.time is not None for each in images):
            yield images
        else:
            others += images
    if others:
        yield others


def _content(unit: Iterable[Loaded]) -> bytes:
    digest = hashlib.sha256()
    for image in (each.image for each in unit):
        plane = image.plane
        place = () if plane is None else (plane.origin, plane.x_axis, plane.y_axis, plane.spacing)
        about = (image.pixels.dtype.str, image.pixels.shape, image.slice, image.frame, image.depth, image.time)
        digest.update(repr((*about, [np.asarray(numbers).tolist() for numbers in place])).encode())
        digest.update(np.ascontiguousarray(image.pixels).data)
    return digest.digest()
