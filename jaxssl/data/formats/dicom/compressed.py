"""Compressed DICOM: whether it can be decoded, and whether decoding it would need more room than its header says."""

from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from jaxssl.data.formats.dicom.header import number
from jaxssl.data.formats.image import Unreadable

INSTALL = "pip install 'jaxssl[dicom]'"
ITEM = 8
"""Bytes of a frame in a compressed file, at the least."""
PREFIX = {True: 8, False: 12}
"""Bytes of the tag and the length before the pixels, by whether the kind of values goes without saying."""
STARTS_OF_FRAME = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
"""Markers after which a JPEG or JPEG-LS stream says how large it is."""
ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length."""


def check_decoder(header: Dataset) -> None:
    """Refuse a compression for which nothing is installed, before anything is decoded."""
    syntax = header.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise Unreadable(f"it is compressed as {syntax.name}, which is not read") from error
    if not decoder.is_available:
        raise Unreadable(f"it is compressed as {syntax.name}: {INSTALL}", passing=True)


def damaged(header: Dataset) -> Unreadable:
    """What to say of pixels that no installed decoder takes."""
    syntax = header.file_meta.TransferSyntaxUID
    wanting = "" if "gdcm" in get_decoder(syntax).available_plugins else f"; for other decoders: {INSTALL}"
    reason = f"its pixels, compressed as {syntax.name}, are damaged or of an unusual kind{wanting}"
    return Unreadable(reason, passing=bool(wanting))


def check_frames(path: Path, header: Dataset, frames: int) -> None:
    """Refuse a file that is too short for its frames, or whose streams unpack to other sizes than it declares."""
    syntax, shape = header.file_meta.TransferSyntaxUID, (header.Rows, header.Columns)
    if syntax.is_deflated:
        return  # its length is looked at when it is opened, and pydicom compares it with what it declares
    with path.open("rb") as file:
        pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["Rows"])
        here = file.tell() + PREFIX[syntax.is_implicit_VR]
        declared, own = frames * _frame_bytes(header), max(path.stat().st_size - here, 0)
        if declared > own:
            raise Unreadable(f"it is cut off: its frames take at least {declared} bytes, and it has {own}")
        file.seek(here)
        for stream in generate_frames(file, number_of_frames=frames) if syntax in SIZES else ():
            size = SIZES[syntax](stream)
            if size and size != shape:
                raise Unreadable(f"it declares images of {shape[0]}x{shape[1]} pixels, and has {size[0]}x{size[1]}")


def _frame_bytes(header: Dataset) -> int:
    """Of one frame, at the least."""
    if header.file_meta.TransferSyntaxUID.is_encapsulated:
        return ITEM
    shared = header.get("PhotometricInterpretation") == "YBR_FULL_422"  # two pixels have two colours in common
    samples = 2 if shared else number(header, "SamplesPerPixel", 1)
    return header.Rows * header.Columns * number(header, "BitsAllocated") * samples // 8


def jpeg_size(stream: bytes) -> tuple[int, int] | None:
    """(height, width) as the first frame header of a JPEG or JPEG-LS stream gives it."""
    place = 2
    while place + 9 <= len(stream):
        if stream[place] != 0xFF:
            return None
        marker = stream[place + 1]
        if marker in STARTS_OF_FRAME:
            return int.from_bytes(stream[place + 5 : place + 7]), int.from_bytes(stream[place + 7 : place + 9])
        if marker == 0xFF:  # a byte that fills up
            place += 1
        else:
            place += 2 if marker in ALONE else 2 + int.from_bytes(stream[place + 2 : place + 4])
    return None


def jpeg2000_size(stream: bytes) -> tuple[int, int] | None:
    """(height, width) of the image area of a JPEG 2000 codestream, bare or in a file of boxes."""
    start = stream.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(stream) < start + 24:
        return None
    right, bottom, left, top = (int.from_bytes(stream[place : place + 4]) for place in range(start + 8, start + 24, 4))
    return bottom - top, right - left


SIZES: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
    **dict.fromkeys((*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes), jpeg_size),
    **dict.fromkeys(JPEG2000TransferSyntaxes, jpeg2000_size),
}
"""What says the size of a frame in streams that have one of their own."""
