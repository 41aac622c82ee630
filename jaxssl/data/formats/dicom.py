"""DICOM of one or many frames, uncompressed or in a compression that pydicom decodes with numpy and Pillow.

Pixels come out as values: rescaled where the file says how, MONOCHROME1 turned so that bright is high, palettes and YBR
as RGB. Frames keep the order of the file.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_color_lut, apply_modality_lut, iter_pixels

from jaxssl.data.formats.image import Image, Unreadable, check_size, in_mm

TWO_DIMENSIONAL, CENTIMETRES = 1, 3
"""Codes of an ultrasound region's format and units."""


def read(path: Path) -> Iterator[Image]:
    """The frames of a file, one in memory at a time."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except InvalidDicomError as error:
        raise Unreadable("it is no DICOM file") from error
    if "Rows" not in header or "Columns" not in header:
        raise Unreadable("it is a DICOM file without an image")
    check_size(header.Rows, header.Columns)
    for frame, stored in enumerate(iter_pixels(path)):
        pixels = _values(stored, header, frame)
        yield Image(pixels.reshape(*pixels.shape[:2], -1), _spacing(header, frame), frame=frame)


def series(path: Path) -> str | None:
    """The UID of the series of a file, if it has one."""
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
    return str(header.get("SeriesInstanceUID") or "") or None


def _values(stored: np.ndarray, header: pydicom.Dataset, frame: int) -> np.ndarray:
    if header.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(stored, header)
    if header.PhotometricInterpretation == "MONOCHROME1":
        # ~x is -1 - x: the other end of the range of signed pixels, as the mask is of unsigned ones.
        stored = ~stored if header.PixelRepresentation else stored ^ stored.dtype.type(2**header.BitsStored - 1)
    scale = _of_frame(header, frame, "PixelValueTransformationSequence") or header
    same = scale.get("RescaleSlope", 1) == 1 and scale.get("RescaleIntercept", 0) == 0
    return stored if same and "ModalityLUTSequence" not in scale else apply_modality_lut(stored, scale)


def _spacing(header: pydicom.Dataset, frame: int) -> tuple[float, float] | None:
    """(dy, dx): of the frame, of the image, or of the first two-dimensional region of an ultrasound image."""
    given = (_of_frame(header, frame, "PixelMeasuresSequence") or header).get("PixelSpacing")
    if given:
        return in_mm(*given)
    for region in header.get("SequenceOfUltrasoundRegions", ()):
        units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
        if region.get("RegionSpatialFormat") == TWO_DIMENSIONAL and units == (CENTIMETRES, CENTIMETRES):
            return in_mm(abs(region.PhysicalDeltaY), abs(region.PhysicalDeltaX), unit=10.0)
    return None


def _of_frame(header: pydicom.Dataset, frame: int, name: str) -> Any:
    """What an enhanced file says of one frame, or of all; none where it says nothing."""
    groups = (
        *header.get("PerFrameFunctionalGroupsSequence", ())[frame : frame + 1],
        *header.get("SharedFunctionalGroupsSequence", ()),
    )
    return next((group[name][0] for group in groups if group.get(name)), None)
