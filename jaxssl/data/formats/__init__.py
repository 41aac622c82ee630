"""Files from scanners and cameras: NIfTI, DICOM, PNG, JPEG, GIF, AVI, MP4 and NPY, read image by image.

Each format is a module here with `read(path) -> Iterator[Image]`, imported when a file of it is met. A reader holds one
image at a time and may raise anything: `read` below turns it into an `Unreadable` with a reason.
"""

import stat
import warnings
from collections.abc import Iterator
from errno import EACCES, EAGAIN, EIO, EMFILE, ENFILE, ENOMEM, EPERM, ESTALE, ETIMEDOUT
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from jaxssl.data.formats.image import Image, Unreadable, checked

if TYPE_CHECKING:
    from jaxssl.data.formats.dicom import Header

__all__ = ["Image", "Unreadable", "header", "is_image", "read"]

ENDINGS = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".dcm": "dicom",
    ".png": "pictures",
    ".jpg": "pictures",
    ".jpeg": "pictures",
    ".gif": "pictures",
    ".avi": "video",
    ".mp4": "video",
    ".npy": "arrays",
}
DICOM_MAGIC = (128, b"DICM")
"""Scanners leave out the ending; every DICOM file has this at this place."""
PASSING = {EACCES, EAGAIN, EIO, EMFILE, ENFILE, ENOMEM, EPERM, ESTALE, ETIMEDOUT}
"""What a disk or an operating system says that may be otherwise another time; readers raise `OSError` for more."""


def is_image(path: Path) -> bool:
    """Whether a file is of a format that is read; one that may not be opened counts, since reading it says why."""
    try:
        return stat.S_ISREG(path.stat().st_mode) and _format(path) is not None
    except OSError:
        return True


def read(path: Path) -> Iterator[Image]:
    """The images of a file in their order; `Unreadable`, at once or later, where it is damaged or has none."""
    images, count = _images(path), 0
    while True:
        # Readers warn of oddities in headers, which a folder of thousands repeats thousands of times.
        with warnings.catch_warnings(action="ignore"):
            try:
                image = checked(next(images))
            except StopIteration:
                break
            except Unreadable:
                raise
            except Exception as error:
                passing = isinstance(error, MemoryError) or getattr(error, "errno", None) in PASSING
                raise Unreadable(_reason(error), passing) from error
        count += 1
        yield image
    if not count:
        raise Unreadable("it has no images")


def header(path: Path) -> "Header | None":
    """What sorts a DICOM file into its series; none of any other file, or where it cannot be read: `read` says why."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return import_module(f"{__name__}.dicom").header(path) if _format(path) == "dicom" else None
        except Exception:
            return None


def _images(path: Path) -> Iterator[Image]:
    if not path.stat().st_size:
        raise Unreadable("it is empty")
    reader = _format(path)
    if reader is None:
        raise Unreadable("it is no NIfTI, DICOM, PNG, JPEG, GIF, AVI, MP4 or NPY file")
    yield from import_module(f"{__name__}.{reader}").read(path)


def _format(path: Path) -> str | None:
    """The module that reads a file, by its ending or by its first bytes."""
    name = path.name.lower()
    for ending, reader in ENDINGS.items():
        if name.endswith(ending):
            return reader
    place, magic = DICOM_MAGIC
    with path.open("rb") as file:
        return "dicom" if file.read(place + len(magic))[place:] == magic else None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}".rstrip(": ")
