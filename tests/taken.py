"""Series of files taken as `data ingest` takes those of one subject, in this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import samples
from PIL import Image as Picture

from jaxssl.data.formats.image import Unreadable
from jaxssl.data.ingest.loading import Hearers
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.ingest.records import records_of
from jaxssl.data.record import Record
from jaxssl.data.subject import Series, Subject

NAMES = Pseudonyms(bytes(32), "fakeset")


def taken(*series: Series, fan: bool = False, classes: Sequence[str] = (), **heard):
    """The records, and the reasons by name of file; `heard` is more of the hearers."""
    rejects: list[tuple[str, str]] = []
    hearers = Hearers(lambda file, why: rejects.append((file.name, why)), **heard)
    return records_of(Subject("Ada", series), NAMES, hearers, fan=fan, classes=classes), rejects


def picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(pixels).save(path)
    return path


def random(*shape: int, seed: int = 0, top: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.uint8 if top == 256 else np.uint16)


@dataclass(frozen=True)
class Fixed:
    """The same mask for the images of the first file."""

    mask: np.ndarray | None = None
    reason: str = ""

    def __call__(self, file, slice, frame, shape):
        if self.reason:
            raise Unreadable(self.reason)
        return self.mask if file == 0 else None


def sax(**options) -> list[Record]:
    return [each for each in samples.records(1, **options) if each.view == "sax"]
