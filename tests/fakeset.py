"""A data set that is a folder of folders, and masks that bring a process down; both are met in worker processes too."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.subject import Masks, Series, Subject

SUBJECTS = ("Ada", "Bob", "Eve")
"""In the source that several tests share."""


@dataclass(frozen=True)
class Breaking:
    """Masks that end the process, or never end, at one file of a series."""

    file: int
    how: str

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> None:
        if file == self.file:
            if self.how == "dies":
                os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)


class FakeSet(Set):
    """Folders of volumes, one a subject."""

    licence = "none"
    citation = ""
    layout = "folders"
    classes = ("background", "disc")

    def __init__(self, masks: Mapping[str, Masks] | None = None):
        super().__init__()
        self.masks = masks or {}

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        for folder in sorted(path for path in source.iterdir() if path.is_dir()):
            yield Subject(folder.name, (Series(tuple(sorted(folder.iterdir())), masks=self.masks.get(folder.name)),))


def volume(path: Path, pixels: np.ndarray, depth: float = 0.0) -> Path:
    """Pixels [slice, y, x] as a NIfTI file whose slices lie 8 mm apart, the first at `depth`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.array([[0, 1.5, 0, 0], [-1.5, 0, 0, 0], [0, 0, -8.0, -depth], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(pixels.transpose(2, 1, 0)), affine), path)
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}
