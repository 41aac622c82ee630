"""The images of a subject's files in grey, each file once, and of ultrasound the echoes alone."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from jaxssl.data.datasets.base import Reject
from jaxssl.data.formats import read
from jaxssl.data.formats.fan import cleaned
from jaxssl.data.formats.image import Image, Unreadable, with_channels
from jaxssl.data.study import Loaded
from jaxssl.data.subject import Series, Subject


def nobody(_: object) -> None:
    """Hears of something that is of no interest."""


@dataclass(frozen=True)
class Hearers:
    """Who is told what while files are read, and what was told of them before."""

    reject: Reject
    """Of a file that is left out, in whole or in part, and why."""
    passing: Callable[[Path], None] = nobody
    """Of one that is left out for a reason which may pass."""
    reading: Callable[[Path | None], None] = nobody
    """Of each file before it is opened and after each of its images, and of none in the end."""
    refused: Mapping[Path, str] = field(default_factory=dict)
    """Files that are not to be read, with reasons."""

    def refuse(self, file: Path, error: Unreadable, remark: str = "") -> None:
        """Tell what is wrong with a file."""
        self.reject(file, f"{error}{remark}")
        if error.passing:
            self.passing(file)


def file_of(loaded: Loaded) -> Path:
    """The file that an image is in."""
    return loaded.series.files[loaded.file]


def load(subject: Subject, fan: bool, hearers: Hearers) -> list[Loaded]:
    """All images of a subject; a file that is damaged anywhere gives none, nor does one that is refused.

    `fan` blackens what lies beside the echoes; for files that say they are of ultrasound that is always done.
    """
    kept: dict[bytes, list[Loaded]] = {}
    for series in subject.series:
        for images in _units(_read(series, hearers)):
            content = _content(images)
            if (same := kept.setdefault(content, images)) is images:
                continue
            if images[0].series.masks and not same[0].series.masks:
                kept[content], images, same = images, same, images
            for file in dict.fromkeys(map(file_of, images)):
                hearers.reject(file, f"it holds the same images as {file_of(same[0]).name}")
    return _echoes([each for images in kept.values() for each in images], fan, hearers)


def _read(series: Series, hearers: Hearers) -> Iterator[list[Loaded]]:
    for number, file in enumerate(series.files):
        try:
            images = _images(file, hearers)
            if series.clip:
                images = [image._replace(slice=0, frame=image.slice) for image in images]
            yield [Loaded(series, number, image) for image in images]
        except Unreadable as error:
            hearers.refuse(file, error)


def _images(file: Path, hearers: Hearers) -> list[Image]:
    if file in hearers.refused:
        raise Unreadable(hearers.refused[file], passing=True)
    hearers.reading(file)
    images = []
    try:
        for image in read(file):
            images.append(image._replace(pixels=with_channels(image.pixels, 1)))
            hearers.reading(file)
        return images
    finally:
        hearers.reading(None)


def _units(files: Iterable[list[Loaded]]) -> Iterator[list[Loaded]]:
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
        about = (image.pixels.dtype.str, image.pixels.shape, image.slice, image.frame, image.time)
        digest.update(repr((*about, [np.asarray(numbers).tolist() for numbers in place])).encode())
        digest.update(np.ascontiguousarray(image.pixels).data)
    return digest.digest()


def _echoes(loaded: Sequence[Loaded], fan: bool, hearers: Hearers) -> list[Loaded]:
    """Of ultrasound what lies in the fan; the images of a file have the same one, or of a series that is one clip."""
    kept, clips = [], defaultdict(list)
    for each in loaded:
        if not (fan or each.image.ultrasound):
            kept.append(each)
            continue
        clips[id(each.series), each.file if each.image.ultrasound else -1, each.image.pixels.shape].append(each)
    for clip in clips.values():
        try:
            images = cleaned([each.image for each in clip])
        except Unreadable as error:
            for file in dict.fromkeys(map(file_of, clip)):
                hearers.refuse(file, error)
        else:
            kept += [replace(each, image=image) for each, image in zip(clip, images, strict=True)]
    return kept
