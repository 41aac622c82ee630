"""Where each frame of a DICOM file lies: in the patient, in its stack and in time."""

import math
from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from pydicom import Dataset

from jaxssl.data.formats.image import Box, in_mm, in_patient, size
from jaxssl.geometry import Plane, normal

TWO_DIMENSIONAL, CENTIMETRES = 1, 3
"""Codes of an ultrasound region's format and units."""
GRID_OFFSETS = 0x3004000C
"""Frames that follow each other in space, which no part of a series of images does."""


class Place(NamedTuple):
    """Of one frame; as in `Image`."""

    spacing: tuple[float, float] | None
    slice: int
    frame: int
    plane: Plane | None
    thickness: float | None
    depth: float | None
    time: float | None


def places(header: Dataset, frames: int) -> list[Place]:
    """Of all frames of a file.

    Frames are of one slice that share its number in the stack or, where no stack is numbered, its plane. Those of a
    slice are counted in time: by trigger delay, then by temporal index, then in the order of the file.
    """
    planes = [_plane(header, frame, frames) for frame in range(frames)]
    times = _times(header, frames)
    slices = _ranks(_slices(header, planes))
    turns = [(times[n] if None not in times else 0.0, _turn(header, n), n) for n in range(frames)]
    order: dict[int, list[int]] = {}
    for n in sorted(range(frames), key=lambda n: turns[n]):
        order.setdefault(slices[n], []).append(n)
    count = {n: place for members in order.values() for place, n in enumerate(members)}
    # A single image may say which moment of its series it is.
    first = max(int(header.get("TemporalPositionIdentifier") or 1) - 1, 0) if frames == 1 else 0
    return [
        Place(
            spacing=spacing(header, n),
            slice=slices[n],
            frame=first + count[n],
            plane=planes[n],
            thickness=size(_said(header, n, "PixelMeasuresSequence", "SliceThickness") or 0),
            depth=_depth_said(header) if frames == 1 else None,
            time=times[n],
        )
        for n in range(frames)
    ]


def of_frame(header: Dataset, frame: int, name: str) -> Any:
    """What an enhanced file says of one frame, or of all; none where it says nothing."""
    groups = (
        *(header.get("PerFrameFunctionalGroupsSequence") or ())[frame : frame + 1],
        *(header.get("SharedFunctionalGroupsSequence") or ()),
    )
    return next((group[name][0] for group in groups if group.get(name)), None)


def spacing(header: Dataset, frame: int) -> tuple[float, float] | None:
    """(dy, dx): of the frame, of the image, of its detector, or of the first region of an ultrasound image."""
    given = _said(header, frame, "PixelMeasuresSequence", "PixelSpacing") or header.get("ImagerPixelSpacing")
    if given:
        return in_mm(*given)
    for region in _regions(header):
        units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
        if units == (CENTIMETRES, CENTIMETRES):
            return in_mm(abs(region.PhysicalDeltaY), abs(region.PhysicalDeltaX), unit=10.0)
    return None


def echoes(header: Dataset) -> tuple[Box, ...]:
    """Where an ultrasound image shows tissue, and no trace of motion or flow over time."""
    corners = [
        [region.get(f"RegionLocation{corner}") for corner in ("MinY0", "MinX0", "MaxY1", "MaxX1")]
        for region in _regions(header)
    ]
    return tuple(
        Box(top, left, bottom + 1, right + 1)
        for top, left, bottom, right in (each for each in corners if None not in each)
        if 0 <= top < bottom < header.Rows and 0 <= left < right < header.Columns
    )


def _regions(header: Dataset) -> list[Dataset]:
    regions = header.get("SequenceOfUltrasoundRegions") or ()
    return [region for region in regions if region.get("RegionSpatialFormat") == TWO_DIMENSIONAL]


def _said(header: Dataset, frame: int, group: str, tag: str) -> Any:
    """A tag of a frame's group or, of a plain file, of its header."""
    return (of_frame(header, frame, group) or header).get(tag)


def _plane(header: Dataset, frame: int, frames: int) -> Plane | None:
    """Of one frame; the one place of a plain file is that of its frames as long as these follow each other in time."""
    position = _said(header, frame, "PlanePositionSequence", "ImagePositionPatient")
    axes = _said(header, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    stack = frames > 1 and header.get("FrameIncrementPointer") == GRID_OFFSETS
    if stack or not position or not axes or len(position) != 3 or len(axes) != 6:
        return None
    return in_patient(position, axes[:3], axes[3:], spacing(header, frame), (header.Rows, header.Columns))


def _times(header: Dataset, frames: int) -> list[float | None]:
    """Of all frames, in ms."""
    delays = [
        _said(header, n, "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime") for n in range(frames)
    ]
    if None not in delays:
        return [float(delay) for delay in delays]
    if frames == 1:
        return [None if header.get("TriggerTime") is None else float(header.TriggerTime)]
    steps = header.get("FrameTimeVector")
    if isinstance(steps, Sequence) and len(steps) == frames:
        return list(accumulate(map(float, steps)))
    step = size(header.get("FrameTime") or 0)
    return [step and n * step for n in range(frames)]


def _slices(header: Dataset, planes: list[Plane | None]) -> Sequence[tuple[Hashable, ...]]:
    """What sorts the slices of a file; the same for frames of the same slice."""
    said = [of_frame(header, n, "FrameContentSequence") or Dataset() for n in range(len(planes))]
    numbers = [(str(each.get("StackID") or ""), each.get("InStackPositionNumber")) for each in said]
    if all(number is not None for _, number in numbers):
        return numbers
    if any(plane is None for plane in planes):
        return [() for _ in planes]
    return [_depth(plane) for plane in planes if plane is not None]


def _depth_said(header: Dataset) -> float | None:
    said = header.get("SliceLocation")
    return None if said is None or not math.isfinite(said) else float(said)


def _depth(plane: Plane) -> tuple[float, ...]:
    """The direction of a plane and how far along it lies, so rounded that what is written twice is the same."""
    direction = normal(plane)
    return (*np.round(direction, 3) + 0.0, round(float(plane.origin @ direction), 2))


def _turn(header: Dataset, frame: int) -> int:
    return int((of_frame(header, frame, "FrameContentSequence") or {}).get("TemporalPositionIndex") or 0)


def _ranks(keys: Sequence[tuple[Hashable, ...]]) -> list[int]:
    ranks = {key: place for place, key in enumerate(sorted(set(keys)))}
    return [ranks[key] for key in keys]
