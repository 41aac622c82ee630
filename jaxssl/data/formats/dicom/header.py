"""The headers of DICOM files: whole, to read their pixels by, or only what sorts files into series."""

import logging
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_file_meta_info, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage, SegmentationStorage

from jaxssl.data.formats.image import Unreadable

# pydicom warns of what it mends, on the terminal; what cannot be mended comes as an exception.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

LONGEST = 2**28
"""Bytes that a deflated file may hold: pydicom inflates it as a whole."""


class Header(NamedTuple):
    """What tells to which patient, study and series a file belongs; never to be stored. "" where it does not say."""

    patient: str
    study: str
    series: str
    number: int | None
    """Of the file in its series, as its scanner counts."""
    manufacturer: str
    about: str
    """What the scanner calls the series."""


NAMES = ("SeriesDescription", "ProtocolName")
TEXTS = ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID")
TAGS = [*TEXTS, *NAMES, "InstanceNumber", "Manufacturer", "ViewCodeSequence", "Rows", "Columns"]


def header(path: Path) -> Header | None:
    """What sorts a file; none where it has no image."""
    try:
        data = opened(path, TAGS)
    except Unreadable:
        return None
    patient, name, study, series = (str(data.get(tag) or "").strip() for tag in TEXTS)
    return Header(
        patient=patient or name,
        study=study,
        series=series,
        number=int(data.InstanceNumber) if isinstance(data.get("InstanceNumber"), int) else None,
        manufacturer=str(data.get("Manufacturer") or "").strip(),
        about=about(data),
    )


def opened(path: Path, tags: list[str] | None = None) -> pydicom.Dataset:
    """All that stands before the pixels, or only some `tags` of it; `Unreadable` where no pixels are to follow."""
    try:
        meta = read_file_meta_info(path)
    except InvalidDicomError as error:
        raise Unreadable("it is no DICOM file") from error
    if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise Unreadable("it is a DICOMDIR, which lists files and is no image")
    if meta.get("MediaStorageSOPClassUID") == SegmentationStorage:
        raise Unreadable("it is a segmentation, which was drawn and is no image")
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        _check_deflated(path)
    data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    if "Rows" not in data or "Columns" not in data:
        raise Unreadable("it is a DICOM file without an image")
    return data


def about(data: pydicom.Dataset) -> str:
    """What the scanner calls the series, and the view if it has a code."""
    views = [view.get("CodeMeaning") for view in data.get("ViewCodeSequence") or ()]
    said = [_text(value) for value in (*(data.get(name) for name in NAMES), *views)]
    return "; ".join(dict.fromkeys(filter(None, said)))


def number(data: pydicom.Dataset, tag: str, default: int | None = None) -> int:
    """A whole number that has to be there, unless there is a default."""
    value = data.get(tag) or default
    if not isinstance(value, int):
        raise Unreadable(f"its {tag} is {value!r}")
    return int(value)


def _text(value: Any) -> str:
    """Of one value, or of several, which a stray backslash makes of a text."""
    values = [value] if value is None or isinstance(value, str) else list(value)
    return " ".join(str(each).strip() for each in values if each is not None)


def _check_deflated(path: Path) -> None:
    inflate, length = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as file:
        read_preamble(file, False)
        _read_file_meta_info(file)
        while length <= LONGEST and (block := inflate.unconsumed_tail or file.read(2**16)):
            length += len(inflate.decompress(block, 2**20))
    if length > LONGEST:
        raise Unreadable(f"it unpacks to more than {LONGEST} bytes")
