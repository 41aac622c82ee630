"""From the files of one subject to its records, held in memory."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from jaxssl.data.formats import PASSING, Unreadable
from jaxssl.data.ingest.copies import file_of
from jaxssl.data.ingest.depth import depth_of, intensity_of
from jaxssl.data.ingest.loading import Hearers, load
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.record import Record, unplaced
from jaxssl.data.study import Loaded, acquisitions
from jaxssl.data.subject import Subject

SAME = ("view", "slice", "slices", "phase", "phases", "moment", "ordered")
"""Fields of a record that are those of a place in a study."""


def records_of(
    subject: Subject,
    names: Pseudonyms,
    hearers: Hearers,
    *,
    fan: bool = False,
    classes: Sequence[str] = (),
) -> list[Record]:
    """The records of a subject, sorted; none where no file is of use.

    `fan` blackens what lies beside the echoes, and `classes` bounds the codes of masks.
    """
    loaded = load(subject, fan, hearers)
    if not loaded:
        return []
    try:
        depth = depth_of([each.image.pixels for each in loaded])
    except Unreadable as error:
        for file in dict.fromkeys(map(file_of, loaded)):
            hearers.reject(file, str(error))
        return []
    who, records = names.subject(subject.name), []
    for placed in acquisitions(loaded):
        if placed.remark:
            hearers.reject(file_of(placed.loaded), f"{placed.remark}; kept without its place")
        image = placed.loaded.image
        records.append(
            Record(
                image=depth.stored(image.pixels),
                subject=who,
                study=names.study(subject.name, placed.study),
                plane=image.plane or unplaced(image.pixels.shape[:2], image.spacing),
                thickness=float("nan") if image.thickness is None else float(image.thickness),
                mask=_mask(placed.loaded, classes, hearers),
                labels=dict(placed.loaded.series.labels),
                **{name: getattr(placed, name) for name in SAME},
            )
        )
    hearers.measured(intensity_of(who, depth, (record.image for record in records)))
    return sorted(records, key=lambda record: (record.study, record.view, record.slice, record.phase))


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
