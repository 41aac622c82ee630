"""The images of a subject's files in grey, each file once, and of ultrasound the echoes alone."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from jaxssl.data.datasets.base import Reject
from jaxssl.data.formats import read
from jaxssl.data.formats.fan import cleaned
from jaxssl.data.formats.image import Image, Unreadable, with_channels
from jaxssl.data.ingest.copies import file_of, instances, without_copies
from jaxssl.data.ingest.depth import Intensity
from jaxssl.data.study import Loaded
from jaxssl.data.subject import Series, Subject

LARGEST = 2**32
"""Bytes that the pixels of a file may take: a subject is in memory as a whole, and a clip unpacks to anything."""


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
    measured: Callable[[Intensity], None] = nobody
    """Of a subject's intensities."""
    refused: Mapping[Path, str] = field(default_factory=dict)
    """Files that are not to be read, with reasons."""

    def refuse(self, file: Path, error: Unreadable, remark: str = "") -> None:
        """Tell what is wrong with a file."""
        self.reject(file, f"{error}{remark}")
        if error.passing:
            self.passing(file)


def load(subject: Subject, fan: bool, hearers: Hearers) -> list[Loaded]:
    """All images of a subject; a file that is damaged anywhere gives none, nor does one that is refused.

    `fan` blackens what lies beside the echoes; for files that say they are of ultrasound that is always done.
    """
    series = (instances([*_read(each, hearers)], hearers.reject) for each in subject.series)
    return _echoes(without_copies(series, hearers.reject), fan, hearers)


def _read(series: Series, hearers: Hearers) -> Iterator[list[Loaded]]:
    for number, file in enumerate(series.files):
        try:
            yield [Loaded(series, number, _as_told(image, series)) for image in _images(file, hearers)]
        except Unreadable as error:
            hearers.refuse(file, error)


def _as_told(image: Image, series: Series) -> Image:
    """What the set says of its images comes before what their files say."""
    if series.clip:
        image = image._replace(slice=0, frame=image.slice)
    if series.spacing:
        plane = image.plane and replace(image.plane, spacing=np.array(series.spacing))
        image = image._replace(spacing=series.spacing, plane=plane)
    return image


def _images(file: Path, hearers: Hearers) -> list[Image]:
    if file in hearers.refused:
        raise Unreadable(hearers.refused[file], passing=True)
    hearers.reading(file)
    images, held = [], 0
    try:
        for image in read(file):
            if image.written and not image.ultrasound:
                raise Unreadable("its pixels may name somebody: it is a screen that was saved, or says so itself")
            images.append(image._replace(pixels=with_channels(image.pixels, 1)))
            held += images[-1].pixels.nbytes
            if held > LARGEST:
                raise Unreadable(f"it has more than {LARGEST / 2**30:.0f} GiB of pixels")
            hearers.reading(file)
        return images
    finally:
        hearers.reading(None)


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
