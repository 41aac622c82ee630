"""What a segmentation of one volume is worth: overlap, distances, sizes, each class by itself, in the original grid."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxssl.data.record import Record
from jaxssl.evaluate.metrics import (
    Distances,
    border_distances,
    circumference,
    dice,
    ejection_fraction,
    extents,
    mass,
    volumes,
)
from jaxssl.evaluate.stack import depths, grid_spacing

Masks = Sequence[UInt8[np.ndarray, "y x"]]

HEAD = "head"
"""The class whose circumference is taken."""


def scores(stack: Sequence[Record], prediction: Masks, classes: Sequence[str]) -> dict[str, Any]:
    """Scores of the masks predicted for the slices of a volume against those of its records, ready for JSON.

    `classes` are without the background. "dice", "hd95" and "assd" (mm), "volume" and "volume_true" (ml) have a value a
    class; "slices" the Dice of each slice with its place from base (0) to apex (1). Distances are those in the volume,
    of a single slice those in its plane. "circumference" and "circumference_true" (mm) are of a class "head" in a lone
    slice. None stands for what is missing:

    - distances of a class that either mask lacks, and of slices that are not the layers of one regular grid, because
      their sizes differ, or the steps between them, or they are shifted in their planes;
    - volumes of a single slice, and of slices of which nobody knows how far they are apart;
    - all that is in mm or ml where the size of a pixel is unknown; the place of a slice that has none.
    """
    truth = [np.asarray(record.mask) for record in stack]
    distances = _distances(stack, prediction, truth, len(classes))
    return {
        # Flat, because nothing says that the slices of a volume are of one size.
        "dice": dice(_flat(prediction), _flat(truth), len(classes)).tolist(),
        "hd95": [each.hd95 if each else None for each in distances],
        "assd": [each.assd if each else None for each in distances],
        "volume": _volumes(stack, prediction, len(classes)),
        "volume_true": _volumes(stack, truth, len(classes)),
        "slices": [
            {"position": _known(record.position), "dice": dice(found, true, len(classes)).tolist()}
            for record, found, true in zip(stack, prediction, truth, strict=True)
        ],
        "circumference": _circumference(stack, prediction, classes),
        "circumference_true": _circumference(stack, truth, classes),
    }


def _volumes(stack: Sequence[Record], masks: Masks, classes: int) -> list[float | None]:
    """ml of the codes 1 .. `classes` in the masks of a stack's slices; None where nobody knows how large a voxel is."""
    places = depths(stack)
    pixels = np.array([np.prod(record.plane.spacing) for record in stack])
    if places is None or not np.isfinite(pixels).all():
        return [None] * classes
    counts = np.array([np.bincount(mask.ravel(), minlength=classes + 1)[1 : classes + 1] for mask in masks])
    return volumes(counts * pixels[:, None], extents(places)).tolist()


def ejected(study: Sequence[Record], classes: Sequence[str]) -> float | None:
    """The ejection fraction (%) of the left ventricle by a study's own masks of a stack in ED and in ES.

    `classes` are without the background. None where nobody knows its volume at both moments.
    """
    if "LV" not in classes:
        return None
    stacks: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in sorted(study, key=lambda record: record.slice):
        if record.mask is not None:
            stacks[record.view, record.moment].append(record)
    for view in {view: None for view, _ in stacks}:
        ed, es = (_ventricle(stacks.get((view, moment), []), classes) for moment in ("ED", "ES"))
        if ed is not None and es is not None:
            return ejection_fraction(ed, es)
    return None


def _ventricle(stack: Sequence[Record], classes: Sequence[str]) -> float | None:
    """ml of the left ventricle in the masks of a stack."""
    masks = [record.mask for record in stack if record.mask is not None]
    return _volumes(stack, masks, len(classes))[classes.index("LV")] if masks else None


def hearts(scored: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The left ventricle of each study that has its volume in ED and in ES, from the `scores` of its volumes.

    "edv" and "esv" (ml), "ef" (%), "mass" (g, of the class MYO in ED; None without it), each with the truth as "_true".
    """
    if "LV" not in classes:
        return []
    studies: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for entry in scored:
        if entry["volume"][classes.index("LV")] is not None:
            studies[entry["subject"], entry["study"], entry["view"]][entry["moment"]] = entry
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for (*names, _), moments in studies.items():
        if {"ED", "ES"} <= moments.keys():
            heart = {**_heart(moments, classes, ""), **_heart(moments, classes, "_true")}
            found.setdefault(tuple(names), dict(zip(("subject", "study"), names, strict=True)) | heart)
    return list(found.values())


def _heart(moments: Mapping[str, Mapping[str, Any]], classes: Sequence[str], which: str) -> dict[str, float | None]:
    ed, es = (dict(zip(classes, moments[moment][f"volume{which}"], strict=True)) for moment in ("ED", "ES"))
    values = {
        "edv": ed["LV"],
        "esv": es["LV"],
        "ef": ejection_fraction(ed["LV"], es["LV"]),
        "mass": mass(ed["MYO"]) if "MYO" in ed else None,
    }
    return {f"{name}{which}": value for name, value in values.items()}


def _distances(stack: Sequence[Record], prediction: Masks, truth: Masks, classes: int) -> list[Distances | None]:
    spacing = grid_spacing(stack)
    if spacing is None:
        return [None] * classes
    shape = (*([len(stack)] if len(stack) > 1 else []), *truth[0].shape)
    found, true = np.reshape(prediction, shape), np.reshape(truth, shape)
    return [border_distances(found == code, true == code, spacing) for code in range(1, classes + 1)]


def _circumference(stack: Sequence[Record], masks: Masks, classes: Sequence[str]) -> float | None:
    spacing = grid_spacing(stack)
    if HEAD not in classes or len(stack) > 1 or spacing is None:
        return None
    return circumference(masks[0] == classes.index(HEAD) + 1, spacing)


def _flat(masks: Masks) -> UInt8[np.ndarray, "n"]:
    return np.concatenate([mask.ravel() for mask in masks])


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
