"""The images of a subject's files in grey, each file once, and of ultrasound the echoes alone."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxssl.data.formats import read
from jaxssl.data.formats.fan import cleaned
from jaxssl.data.formats.image import Image, Unreadable, with_channels
from jaxssl.data.study import Loaded
from jaxssl.data.subject import Series, Subject

Reject = Callable[[Path, str], None]
"""Hears of a file that is left out, in whole or in part, and why."""
Reading = Callable[[Path | None], None]
"""Hears of each file before it is opened, and of none after."""


def file_of(loaded: Loaded) -> Path:
    """The file that an image is in."""
    return loaded.series.files[loaded.file]


def load(subject: Subject, fan: bool, refused: Mapping[Path, str], reject: Reject, reading: Reading) -> list[Loaded]:
    """All images of a subject; a file that is damaged anywhere gives none, nor does one in `refused`.

    `fan` blackens what lies beside the echoes; for files that say they are of ultrasound that is always done.
    """
    loaded: list[Loaded] = []
    known: dict[bytes, Path] = {}
    for series in subject.series:
        for images in _units(_read(series, refused, reject, reading)):
            first = file_of(images[0])
            if (same := known.setdefault(_content(images), first)) is first:
                loaded += images
                continue
            for file in dict.fromkeys(map(file_of, images)):
                reject(file, f"it holds the same images as {same.name}")
    return _echoes(loaded, fan, reject)


def _read(series: Series, refused: Mapping[Path, str], reject: Reject, reading: Reading) -> Iterator[list[Loaded]]:
    for number, file in enumerate(series.files):
        try:
            images = _images(file, refused, reading)
            if series.clip:
                images = [image._replace(slice=0, frame=image.slice) for image in images]
            yield [Loaded(series, number, image) for image in images]
        except Unreadable as error:
            reject(file, str(error))


def _images(file: Path, refused: Mapping[Path, str], reading: Reading) -> list[Image]:
    if file in refused:
        raise Unreadable(refused[file])
    reading(file)
    try:
        return [image._replace(pixels=with_channels(image.pixels, 1)) for image in read(file)]
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from error
    finally:
        reading(None)


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


def _echoes(loaded: Sequence[Loaded], fan: bool, reject: Reject) -> list[Loaded]:
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
                reject(file, str(error))
        else:
            kept += [replace(each, image=image) for each, image in zip(clip, images, strict=True)]
    return kept
