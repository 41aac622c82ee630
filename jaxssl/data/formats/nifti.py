"""NIfTI-1 and NIfTI-2, compressed or not, of 2 to 4 axes (x, y, slice, frame).

Rows of an image are the file's second axis and columns its first, in the order in which they lie there: an image is
transposed, and never turned or mirrored by the file's orientation.
"""

import gzip
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.openers import ImageOpener

from jaxssl.data.formats.image import Image, Unreadable, check_size, in_mm, in_patient, size

MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
"""In a unit of length; a header that names none means millimetres."""
MILLISECONDS = {"sec": 1000.0, "msec": 1.0, "usec": 0.001}
"""In a unit of time; one that names none may mean any."""

MAGIC = {(344, b"n+1\0"): Nifti1Header, (4, b"n+2\0"): Nifti2Header}
"""What lies where in a file of which kind."""
LONGEST, RATIO = 2**30, 100
"""Bytes that any compressed file may hold, and how many times its own length: no images shrink to less."""

TO_LPS = np.array([-1.0, -1.0, 1.0])
"""The axes of NIfTI run to the right, to the front and up."""

# nibabel tells of each mended header on the terminal; what cannot be mended comes as an exception.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)


def read(path: Path) -> Iterator[Image]:
    """All slices of the first frame, then those of the next: the order of the file, in which gzip goes forward only."""
    header = _header(path)
    shape = header.get_data_shape()
    if len(shape) < 2 or any(length != 1 for length in shape[4:]):
        raise Unreadable(f"it has the axes {shape}, not x, y, slice and frame")
    check_size(shape[1], shape[0])
    _check_length(path, header)
    affine, placed = _affine(header)
    spacing, thickness = in_mm(*_lengths(affine)[1::-1]), size(_lengths(affine)[2])
    base = in_patient(affine[:, 3], *_directions(affine), spacing, shape[1::-1]) if placed else None
    for frame, number, pixels in _stored(path, header):
        plane = base and replace(base, origin=base.origin + number * affine[:, 2])
        yield Image(pixels, spacing, number, frame, plane, thickness, _time(header, frame))


def _stored(path: Path, header: Nifti1Header) -> Iterator[tuple[int, int, Shaped[np.ndarray, "y x channel"]]]:
    """Frame, slice and pixels of each image."""
    # Without a memory map, which ends the process where a file shrinks while it is read.
    stored = ArrayProxy(str(path), header, mmap=False, keep_file_open=True)
    slices, frames = (*stored.shape, 1, 1)[2:4]
    for frame in range(frames):
        for number in range(slices):
            place = (slice(None), slice(None), number, frame, *(0 for _ in stored.shape[4:]))[: stored.ndim]
            values = np.asanyarray(stored[place])
            colours = values.dtype.names and ("R", "G", "B")
            pixels = np.stack([values[name] for name in colours], axis=-1) if colours else values[..., None]
            yield frame, number, pixels.swapaxes(0, 1)


def _header(path: Path) -> Nifti1Header:
    """Of either version; extensions, in which anything may stand, are not read."""
    with ImageOpener(str(path)) as file:
        try:
            start = file.read(Nifti2Header.template_dtype.itemsize)
        except gzip.BadGzipFile as error:
            raise Unreadable("it is no NIfTI file") from error
    for (place, magic), kind in MAGIC.items():
        if start[place : place + len(magic)] == magic:
            return kind(start[: kind.template_dtype.itemsize])
    raise Unreadable("it is no NIfTI file")


def _check_length(path: Path, header: Nifti1Header) -> None:
    """Refuse a file that is shorter than its header says, or could only unpack to so much if it were made to."""
    values = math.prod(map(int, header.get_data_shape()))
    declared = int(header.get_data_offset()) + values * header.get_data_dtype().itemsize
    own = path.stat().st_size
    if path.suffix.lower() == ".gz":
        if declared > max(LONGEST, RATIO * own):
            raise Unreadable(f"it declares {declared} bytes, and has {own} compressed ones")
    elif declared > own:
        raise Unreadable(f"it is cut off: it declares {declared} bytes, and has {own}")


def _affine(header: Nifti1Header) -> tuple[Float[np.ndarray, "3 4"], bool]:
    """From voxels to LPS in mm, and whether the file says where the patient is; sform goes before qform."""
    unit = MILLIMETRES.get(str(header.get_xyzt_units()[0]), 1.0)
    affine = np.asarray(header.get_best_affine(), np.float64)[:3] * unit
    return affine * TO_LPS[:, None], any(int(header[code]) > 0 for code in ("sform_code", "qform_code"))


def _lengths(affine: Float[np.ndarray, "3 4"]) -> list[float]:
    """Of the steps along i, j and k."""
    return [float(np.linalg.norm(affine[:, axis])) for axis in range(3)]


def _directions(affine: Float[np.ndarray, "3 4"]) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors along i and j: the columns and the rows of the images."""
    dx, dy, _ = _lengths(affine)
    return affine[:, 0] / dx, affine[:, 1] / dy


def _time(header: Nifti1Header, frame: int) -> float | None:
    zooms, unit = header.get_zooms(), MILLISECONDS.get(str(header.get_xyzt_units()[1]))
    step = size(zooms[3] * unit) if len(zooms) > 3 and unit else None
    return step and frame * step
