"""From the files of one subject to its records, held in memory."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxssl.data.datasets.base import Reject
from jaxssl.data.formats import PASSING, Image, Unreadable
from jaxssl.data.ingest.depth import Intensity, depth_of, intensity_of
from jaxssl.data.ingest.loading import Hearers, file_of, load, nobody
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.record import Record, unplaced
from jaxssl.data.study import Loaded, acquisitions
from jaxssl.data.subject import Series, Subject
from jaxssl.geometry import Plane

SAME = ("view", "slice", "slices", "phase", "phases", "moment", "ordered")
"""Fields of a record that are those of a place in a study."""


def records_of(
    subject: Subject,
    names: Pseudonyms,
    reject: Reject,
    *,
    fan: bool = False,
    classes: Sequence[str] = (),
    refused: Mapping[Path, str] | None = None,
    reading: Callable[[Path | None], None] = nobody,
    passing: Callable[[Path], None] = nobody,
    measured: Callable[[Intensity], None] = nobody,
) -> list[Record]:
    """The records of a subject, sorted; none where no file is of use.

    `fan` blackens what lies beside the echoes, `classes` bounds the codes of masks, and files in `refused` are rejected
    unread, for the reason given. `reading` and `passing` are as in `Hearers`; `measured` hears of the intensities.
    """
    hearers = Hearers(reject, passing, reading, refused or {})
    loaded = load(subject, fan, hearers)
    if not loaded:
        return []
    try:
        depth = depth_of([each.image.pixels for each in loaded])
    except Unreadable as error:
        for file in dict.fromkeys(map(file_of, loaded)):
            reject(file, str(error))
        return []
    who, records = names.subject(subject.name), []
    for placed in acquisitions(loaded):
        if placed.remark:
            reject(file_of(placed.loaded), f"{placed.remark}; kept without its place")
        image, series = placed.loaded.image, placed.loaded.series
        records.append(
            Record(
                image=depth.stored(image.pixels),
                subject=who,
                study=names.study(subject.name, placed.study),
                plane=_plane(image, series),
                thickness=float("nan") if image.thickness is None else float(image.thickness),
                mask=_mask(placed.loaded, classes, hearers),
                labels=dict(series.labels),
                **{name: getattr(placed, name) for name in SAME},
            )
        )
    measured(intensity_of(who, depth, (record.image for record in records)))
    return sorted(records, key=lambda record: (record.study, record.view, record.slice, record.phase))


def _plane(image: Image, series: Series) -> Plane:
    """Where an image lies; what the set says of its pixels' size comes before what the file says."""
    spacing, plane = series.spacing or image.spacing, image.plane
    if plane is None or not series.placed:
        return unplaced(image.pixels.shape[:2], spacing)
    return Plane(plane.origin, plane.x_axis, plane.y_axis, np.array(spacing or plane.spacing, np.float64), plane.shape)


def _mask(loaded: Loaded, classes: Sequence[str], hearers: Hearers) -> UInt8[np.ndarray, "y x"] | None:
    """What people drew on an image; a mask that is no good is left out, and the image kept."""
    image, file = loaded.image, file_of(loaded)
    if loaded.series.masks is None:
        return None
    hearers.reading(file)
    try:
        mask = loaded.series.masks(loaded.file, image.slice, image.frame, image.pixels.shape[:2])
        return None if mask is None else _checked(mask, image.pixels.shape[:2], classes)
    except Unreadable as error:
        hearers.refuse(file, error, "; kept without it")
    except OSError as error:
        reason = f"its mask cannot be read ({error.strerror})"
        hearers.refuse(file, Unreadable(reason, error.errno in PASSING), "; kept without it")
    finally:
        hearers.reading(None)


def _checked(
    mask: UInt8[np.ndarray, "_ _"], shape: tuple[int, ...], classes: Sequence[str]
) -> UInt8[np.ndarray, "y x"]:
    if mask.shape != shape or mask.dtype != np.uint8:
        raise Unreadable(f"its mask is {mask.dtype} of {mask.shape}, not uint8 of {shape}")
    if classes and mask.max() >= len(classes):
        raise Unreadable(f"its mask has the code {mask.max()}, beyond {classes[-1]}, the last of the classes")
    return mask
