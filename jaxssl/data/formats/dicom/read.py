"""The images of a DICOM file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from jaxtyping import Shaped
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder, iter_pixels
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, RLELossless

from jaxssl.data.formats.dicom.apart import decoded
from jaxssl.data.formats.dicom.compressed import check_decoder, check_frames, damaged
from jaxssl.data.formats.dicom.header import about, number, opened
from jaxssl.data.formats.dicom.kind import is_ultrasound, may_be_written
from jaxssl.data.formats.dicom.place import echoes, of_frame, places
from jaxssl.data.formats.image import Image, Unreadable, check_size

ALONE = {JPEGBaseline8Bit: "pillow", JPEGExtended12Bit: "pillow", RLELossless: "pydicom"}
"""Decoders that are always there, and sound enough to work in this process."""


def read(path: Path) -> Iterator[Image]:
    """The frames of a file, one in memory at a time."""
    header = opened(path)
    frames = number(header, "NumberOfFrames", 1)
    check_size(number(header, "Rows"), number(header, "Columns"))
    check_decoder(header)
    check_frames(path, header, frames)
    known = {
        "about": about(header),
        "ultrasound": is_ultrasound(header),
        "echoes": echoes(header),
        "written": may_be_written(header),
        "instance": str(header.get("SOPInstanceUID") or ""),
    }
    where, seen = places(header, frames), 0
    for stored in _decoded(path, header, frames):
        if seen == frames:
            break  # what follows the last frame is padding
        pixels = _values(stored, header, seen)
        yield Image(pixels.reshape(*pixels.shape[:2], -1), **where[seen]._asdict(), **known)
        seen += 1
    if seen < frames:
        raise Unreadable(f"it declares {frames} frames, and has {seen}")


def _decoded(path: Path, header: pydicom.Dataset, frames: int) -> Iterator[Shaped[np.ndarray, "y x *channel"]]:
    """As stored, but for YBR, which becomes RGB."""
    syntax = header.file_meta.TransferSyntaxUID
    try:
        if syntax.is_deflated:  # pydicom takes no such file frame by frame
            yield from iter_pixels(pydicom.dcmread(path))
        elif syntax in ALONE:
            yield from iter_pixels(path, decoding_plugin=ALONE[syntax])
        elif syntax.is_encapsulated:
            # One after the other, they may take minutes to find the same fault.
            yield from decoded(path, frames, "gdcm" if "gdcm" in get_decoder(syntax).available_plugins else "")
        else:
            yield from iter_pixels(path)
    except RuntimeError as error:  # from one decoder after the other, each with a reason of its own
        raise damaged(header) from error


def _values(stored: np.ndarray, header: pydicom.Dataset, frame: int) -> np.ndarray:
    if header.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(stored, header)
    if header.PhotometricInterpretation == "MONOCHROME1":
        # ~x is -1 - x: the other end of the range of signed pixels, as the mask is of unsigned ones.
        stored = ~stored if header.PixelRepresentation else stored ^ stored.dtype.type(2**header.BitsStored - 1)
    scale = of_frame(header, frame, "PixelValueTransformationSequence") or header
    same = scale.get("RescaleSlope", 1) == 1 and scale.get("RescaleIntercept", 0) == 0
    return stored if same and "ModalityLUTSequence" not in scale else apply_modality_lut(stored, scale)
