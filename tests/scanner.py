"""What a scanner and a converter would make of records: DICOM series, multi-frame DICOM, NIfTI and videos, for tests.

Everything that may never leave a hospital is filled in, and stands in `SECRETS`; wherever one of these turns up, it has
leaked. Trigger times divide a beat of `BEAT` ms evenly.
"""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import av
import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from jaxssl.data.record import Record

BEAT = 800.0
ROOT = "1.2.826.0.1.3680043.8.666."
"""Of every UID."""
PERSONAL = {
    "PatientName": "Hushname^Ada",
    "PatientBirthDate": "19010203",
    "PatientAddress": "7 Hushstreet",
    "OtherPatientIDs": "HUSHOTHER",
    "AccessionNumber": "HUSHACC",
    "InstitutionName": "Hushhospital",
    "ReferringPhysicianName": "Hushdoctor^Bob",
    "OperatorsName": "Hushoperator^Eve",
    "StudyDate": "20190807",
    "SeriesDate": "20190807",
    "AcquisitionDate": "20190807",
    "ContentDate": "20190807",
    "StudyTime": "111213.141",
    "StudyID": "HUSHSTUDY",
    "PatientComments": "Hushcomment",
    "ImageComments": "Hushcomment",
}
PATIENT_ID = "HUSHID-"
"""Followed by the subject of the record."""
SECRETS = (ROOT, PATIENT_ID, *PERSONAL.values())
DESCRIPTIONS = {
    "sax": "cine_trufi_SAX",
    "4ch": "cine_trufi_4CH",
    "3ch": "cine_trufi_3CH",
    "2ch": "cine_trufi_2CH",
    "lvot": "cine_trufi_LVOT",
}
"""What the scanner calls a view; any other is called as it is."""


def write_dicom_series(
    records: Sequence[Record],
    folder: Path,
    *,
    syntax: str = ExplicitVRLittleEndian,
    series: Callable[[Record], Hashable] = lambda record: record.view,
    modality: str = "MR",
    seed: int = 0,
    **tags: Any,
) -> list[Path]:
    """One file a record; paths in the order of the records, which their names, drawn by `seed`, do not tell.

    Records of the same subject, study and `series` share a series. `tags` go into each file, as they are; those that
    are None are left out of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(seed).permutation(len(records))
    paths = [folder / f"IM{number:05d}" for number in numbers]
    for place, (record, path) in enumerate(zip(records, paths, strict=True)):
        data = _header(record, (record.study, series(record)), MRImageStorage, modality)
        data.SOPInstanceUID = _uid(record.study, record.view, record.slice, record.phase)
        data.InstanceNumber = place + 1
        data.ImagePositionPatient, data.ImageOrientationPatient = _position(record), _orientation(record)
        data.PixelSpacing, data.SliceThickness = [float(step) for step in record.plane.spacing], record.thickness
        data.TriggerTime = trigger_time(record)
        _save(data, record.image[None], path, syntax, tags)
    return paths


def write_enhanced(records: Sequence[Record], path: Path, *, syntax: str = ExplicitVRLittleEndian, **tags: Any) -> Path:
    """The records of one view in one enhanced MR file, frame after frame in the order in which they come."""
    first = records[0]
    data = _header(first, (first.study, first.view), EnhancedMRImageStorage, "MR")
    data.SOPInstanceUID = _uid(first.study, first.view, "enhanced")
    measures = _item(PixelSpacing=[float(step) for step in first.plane.spacing], SliceThickness=first.thickness)
    data.SharedFunctionalGroupsSequence = _item(PixelMeasuresSequence=measures)
    data.PerFrameFunctionalGroupsSequence = Items(
        _item(
            FrameContentSequence=_item(
                StackID="1",
                InStackPositionNumber=record.slice + 1,
                TemporalPositionIndex=record.phase + 1,
                DimensionIndexValues=[1, record.slice + 1, record.phase + 1],
            ),
            PlanePositionSequence=_item(ImagePositionPatient=_position(record)),
            PlaneOrientationSequence=_item(ImageOrientationPatient=_orientation(record)),
            CardiacSynchronizationSequence=_item(NominalCardiacTriggerDelayTime=trigger_time(record)),
        )[0]
        for record in records
    )
    return _save(data, np.stack([record.image for record in records]), path, syntax, tags)


def write_clip(records: Sequence[Record], path: Path, *, syntax: str = ExplicitVRLittleEndian, **tags: Any) -> Path:
    """The records as the frames of an ultrasound clip, 40 ms apart, calibrated by a region that is the whole image."""
    first = records[0]
    dy, dx = (float(step) / 10 for step in first.plane.spacing)
    height, width = first.image.shape[:2]
    data = _header(first, (first.study, first.view), UltrasoundMultiFrameImageStorage, "US")
    data.SOPInstanceUID = _uid(first.study, first.view, "clip")
    data.FrameTime = 40.0
    data.FrameIncrementPointer = 0x00181063
    data.SequenceOfUltrasoundRegions = _item(
        RegionSpatialFormat=1,
        RegionDataType=1,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=width - 1,
        RegionLocationMaxY1=height - 1,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=dx,
        PhysicalDeltaY=dy,
    )
    return _save(data, np.stack([record.image for record in records]), path, syntax, tags)


def write_nifti(records: Sequence[Record], path: Path, *, form: str = "sform", masks: bool = False) -> Path:
    """The records of one view as a volume (x, y, slice, frame), placed by one form; `masks` instead of the images."""
    slices, phases = (max(getattr(record, name) for record in records) + 1 for name in ("slice", "phase"))
    first = records[0]
    volume = np.zeros((*first.image.shape[1::-1], slices, phases), np.uint8 if masks else first.image.dtype)
    for record in records:
        shown = record.mask if masks else record.image[..., 0]
        volume[:, :, record.slice, record.phase] = 0 if shown is None else shown.T
    place = {record.slice: record.plane for record in records}
    step = np.cross(first.plane.x_axis, first.plane.y_axis) * first.thickness
    if slices > 1:
        step = (place[slices - 1].origin - place[0].origin) / (slices - 1)
    (dy, dx), start = first.plane.spacing, place[0]
    affine = np.eye(4)
    affine[:3] = np.stack([start.x_axis * dx, start.y_axis * dy, step, start.origin], axis=-1)
    affine[:2] *= -1  # from LPS to RAS
    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_zooms((dx, dy, float(np.linalg.norm(step)), BEAT / max(phases, 1)))
    image.header.set_xyzt_units("mm", "msec")
    image.set_sform(affine, code=1 if form == "sform" else 0)
    image.set_qform(affine, code=1 if form == "qform" else 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def write_video(path: Path, frames: np.ndarray, codec: str, kind: str, rate: int = 25) -> Path:
    """Frames [n, y, x] or [n, y, x, 3], in the pixel format `kind`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], kind
        for frame in frames:
            shown = av.VideoFrame.from_ndarray(frame, format="gray" if frame.ndim == 2 else "rgb24")
            container.mux(stream.encode(shown))
        container.mux(stream.encode())
    return path


def trigger_time(record: Record) -> float:
    """In ms."""
    return BEAT * record.phase / record.phases


def _header(record: Record, series: Hashable, kind: str, modality: str) -> Dataset:
    """All but the place of an image and its pixels."""
    data = Dataset()
    data.update(PERSONAL)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID, data.Modality, data.Manufacturer = kind, modality, record.labels.get("vendor", "SIEMENS")
    data.PatientID = PATIENT_ID + record.subject
    data.StudyInstanceUID, data.SeriesInstanceUID = _uid(record.study), _uid(record.study, series)
    data.FrameOfReferenceUID = _uid(record.study, "frame of reference")
    data.SeriesDescription = data.ProtocolName = DESCRIPTIONS.get(record.view, record.view)
    return data


def _save(data: Dataset, pixels: np.ndarray, path: Path, syntax: str, tags: dict[str, Any]) -> Path:
    """Frames [n, y, x, channel] into a file; a compressed one if the syntax is."""
    frames, height, width, channels = pixels.shape
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.Rows, data.Columns, data.SamplesPerPixel = height, width, channels
    if data.SOPClassUID != MRImageStorage:
        data.NumberOfFrames = frames
    if channels == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = "RGB" if channels == 3 else "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    content = pixels.tobytes()
    data.PixelData = content + b"\0" * (len(content) % 2)
    data["PixelData"].VR = "OB" if pixels.dtype == np.uint8 else "OW"
    if syntax != ExplicitVRLittleEndian:
        data.compress(syntax, generate_instance_uid=False)
    for name, value in tags.items():
        if value is not None:
            setattr(data, name, value)
        elif name in data:
            delattr(data, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def _position(record: Record) -> list[str]:
    """To as many digits as a decimal string holds."""
    return [f"{value:.10f}"[:16] for value in record.plane.origin]


def _orientation(record: Record) -> list[str]:
    return [f"{value:.12f}"[:16] for value in (*record.plane.x_axis, *record.plane.y_axis)]


def _item(**tags: Any) -> Items:
    """A sequence of one."""
    data = Dataset()
    data.update(tags)
    return Items([data])


def _uid(*what: Hashable) -> str:
    """The same for the same things."""
    return generate_uid(prefix=ROOT, entropy_srcs=[repr(each) for each in what])
