"""What a data set lists of a subject before anything is read: files, and what is known besides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8


class Masks(Protocol):
    """What people drew on the images of a series: a dataclass, by whose fields a changed one is known.

    It goes to worker processes, so that it holds paths and no arrays.
    """

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> UInt8[np.ndarray, "y x"] | None:
        """The mask of an image by its file's number in the series and its places in that file; none where it has none.

        May raise `Unreadable`.
        """
        ...


@dataclass(frozen=True)
class Series:
    """Files that are one acquisition: a volume, a clip, a DICOM series, the frames of a clip."""

    files: tuple[Path, ...]
    study: str = ""
    view: str = ""
    """None tells it from the geometry, then from what the scanner calls the series."""
    masks: Masks | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    moments: Mapping[int, str] = field(default_factory=dict)
    """ED and ES by the frame of its file, or by the number of the file where there are several."""
    slices: Mapping[int, int] = field(default_factory=dict)
    """The slice that each file shows, by its number, where the set says so."""
    spacing: tuple[float, float] | None = None
    """(dy, dx) in mm, where the files do not say it, or wrongly."""
    placed: bool = True
    """Whether the files' geometry is that of a patient; their spacing holds all the same."""
    clip: bool = False
    """Whether what the files call slices are frames: NIfTI knows depth before time."""
    ordered: bool | None = None
    """True where the files run from base to apex; none asks the geometry."""


@dataclass(frozen=True)
class Subject:
    """One person, or what has to stay on one side of a split; `name` never enters a store."""

    name: str
    series: tuple[Series, ...]


def files_of(value: Any) -> Iterator[Path]:
    """Every file that a series, or several of them, name: images and masks."""
    if isinstance(value, Path):
        yield value
    elif is_dataclass(value):
        yield from files_of([getattr(value, each.name) for each in fields(value)])
    elif isinstance(value, Mapping):
        yield from files_of([*value.values()])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from files_of(each)
