"""NIfTI-1 and NIfTI-2, compressed or not, of 2 to 4 axes (x, y, slice, frame).

Rows of an image are the file's second axis and columns its first, in the order in which they lie there: an image is
transposed, and never turned or mirrored by the file's orientation.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError

from jaxssl.data.formats.image import Image, Unreadable, check_size, in_mm

MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
"""In a unit of length; a header that names none means millimetres."""

# nibabel tells of each mended header on the terminal; what cannot be mended comes as an exception.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)


def read(path: Path) -> Iterator[Image]:
    """All slices of the first frame, then those of the next: the order of the file, in which gzip goes forward only."""
    try:
        volume = nibabel.load(path, keep_file_open=True)
    except ImageFileError as error:
        raise Unreadable("it is no NIfTI file") from error
    if not isinstance(volume, nibabel.Nifti1Image):  # those of NIfTI-2 are a kind of these
        raise Unreadable("it is no NIfTI file")
    shape = volume.shape
    if len(shape) < 2 or any(length != 1 for length in shape[4:]):
        raise Unreadable(f"it has the axes {shape}, not x, y, slice and frame")
    check_size(shape[1], shape[0])
    spacing = _spacing(volume)
    slices, frames = (*shape, 1, 1)[2:4]
    for frame in range(frames):
        for number in range(slices):
            place = (slice(None), slice(None), number, frame, *(0 for _ in shape[4:]))[: len(shape)]
            plane = np.asanyarray(volume.dataobj[place])
            colours = plane.dtype.names and ("R", "G", "B")
            pixels = np.stack([plane[name] for name in colours], axis=-1) if colours else plane[..., None]
            yield Image(pixels.swapaxes(0, 1), spacing, number, frame)


def _spacing(volume: nibabel.Nifti1Image) -> tuple[float, float] | None:
    dx, dy, *_ = voxel_sizes(volume.affine)
    unit, _ = volume.header.get_xyzt_units()
    return in_mm(dy, dx, MILLIMETRES.get(str(unit), 1.0))
