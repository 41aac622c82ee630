"""What the files of runs say of results, read without trusting that they are whole."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from jaxssl.reporting.results import (
    QUANTITIES,
    Classification,
    Judged,
    Probe,
    Repeat,
    Saliency,
    Segmentation,
    Speed,
    Task,
    mean,
)

T = TypeVar("T")


def judged(content: Mapping[str, Any], name: str, notes: list[str]) -> Judged | None:
    """An evaluation; none, with a note, where the file lacks what is needed."""
    kind = _classification if content.get("kind") == "classification" else _segmentation
    return _or_note(kind, content, name, "comparison", notes)


def probe(content: Mapping[str, Any], name: str, notes: list[str]) -> Probe | None:
    return _or_note(_probe, content, name, "table", notes)


def saliency(content: Mapping[str, Any], name: str, notes: list[str]) -> Saliency | None:
    return _or_note(_saliency, content, name, "table", notes)


def speed(content: Mapping[str, Any], name: str, notes: list[str]) -> Speed | None:
    return _or_note(_speed, content, name, "table", notes)


def number(value: object) -> float:
    """What a file has as a number; nan for whatever is none, and for whole numbers beyond all floats."""
    try:
        return float(value) if isinstance(value, int | float) else float("nan")
    except OverflowError:
        return float("nan")


def whole(value: object) -> int:
    """What a file has as a count; 0 for whatever is none."""
    known = number(value)
    return int(known) if np.isfinite(known) else 0


def _or_note(
    read: Callable[[Mapping[str, Any], str, list[str]], T],
    content: Mapping[str, Any],
    name: str,
    wanted_by: str,
    notes: list[str],
) -> T | None:
    """What a file of this name says; none, with a note, where it lacks what is needed."""
    if not content:
        return None
    try:
        return read(content, name, notes)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        notes.append(f"{name} lacks what the {wanted_by} needs and is left out.")
        return None


def _speed(content: Mapping[str, Any], name: str, notes: list[str]) -> Speed:
    del name, notes
    return Speed(
        int(content["batch"]),
        str(content["precision"]),
        str(content["device"]),
        int(content["devices"]),
        float(content["images_per_second"]),
        number(content.get("fed_images_per_second")),
        number(content.get("step_bytes")),
        number(content.get("flops_per_image")),
        number(content.get("mfu")),
    )


def _task(content: Mapping[str, Any], kind: str) -> Task:
    return Task(
        kind,
        str(content.get("on") or "test"),
        str(content.get("data") or "unnamed data"),
        str(content.get("fingerprint", "")),
        str(content.get("target", "")),
        tuple(map(str, content["classes"])),
        int(content["training_subjects"]),
    )


def _repeat(content: Mapping[str, Any]) -> Repeat:
    return Repeat(int(content.get("subset_seed", 0)), int(content["seed"]))


def _segmentation(content: Mapping[str, Any], name: str, notes: list[str]) -> Segmentation:
    task, entries = _task(content, "segmentation"), content["subjects"]
    dice = _by_subject(entries, "dice", len(task.classes))
    known = np.array([value for values in dice.values() for value in values if np.isfinite(value)])
    if not len(known) or known.min() < 0 or known.max() > 1:
        raise ValueError("nobody was segmented, or what is called Dice is none")
    found = Segmentation(
        task,
        _repeat(content),
        whole(content.get("opening", 1)),
        dice,
        {name: _by_subject(entries, name, len(task.classes)) for name in ("hd95", "assd") if name in entries[0]},
        _profile(entries),
        _measured(content),
        _by_moment(entries, len(task.classes)),
    )
    stated = number(content.get("mean_dice"))
    if abs(stated - found.mean) > 1e-3:
        notes.append(f"{name} states a mean Dice of {stated:.3f}; its subjects give {found.mean:.3f}.")
    return found


def _by_subject(entries: Sequence[Mapping[str, Any]], name: str, classes: int) -> dict[str, np.ndarray]:
    """[classes] of each subject: the mean over its volumes that have a value."""
    rows: dict[str, list[list[float]]] = {}
    for entry in entries:
        values = [number(value) for value in entry[name]]
        if len(values) != classes:
            raise ValueError(f"one {name} a class is wanted")
        rows.setdefault(str(entry["subject"]), []).append(values)
    return {subject: mean(np.array(values), axis=0) for subject, values in rows.items()}


def _by_moment(entries: Sequence[Mapping[str, Any]], classes: int) -> dict[str, dict[str, np.ndarray]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        groups.setdefault(str(entry.get("moment", "")), []).append(entry)
    return {name: _by_subject(own, "dice", classes) for name, own in groups.items()} if len(groups) > 1 else {}


def _profile(entries: Sequence[Mapping[str, Any]]) -> np.ndarray:
    points = [
        (number(each.get("position")), float(mean(np.array([number(value) for value in each["dice"]]))))
        for entry in entries
        for each in entry.get("slices", ())
    ]
    table = np.array(points).reshape(-1, 2)
    return table[np.isfinite(table).all(axis=1)]


def _measured(content: Mapping[str, Any]) -> dict[str, dict[tuple[str, str], tuple[float, float]]]:
    found: dict[str, dict[tuple[str, str], tuple[float, float]]] = {}
    for place, entry in enumerate([*content.get("hearts", ()), *content["subjects"]]):
        for name in QUANTITIES:
            pair = number(entry.get(name)), number(entry.get(f"{name}_true"))
            if np.isfinite(pair).all():
                found.setdefault(name, {})[str(entry["subject"]), f"{entry.get('study', '')} {place}"] = pair
    return found


def _classification(content: Mapping[str, Any], name: str, notes: list[str]) -> Classification:
    del name, notes
    task, cases = _task(content, "classification"), content["cases"]
    probabilities = np.array([[number(value) for value in case["probabilities"]] for case in cases])
    if probabilities.ndim != 2 or probabilities.shape[1] != len(task.classes) or not np.isfinite(probabilities).all():
        raise ValueError("one probability a class is wanted")
    return Classification(
        task,
        _repeat(content),
        whole(content.get("opening", 1)),
        np.array([str(case["subject"]) for case in cases]),
        np.array([int(case["truth"]) for case in cases]),
        probabilities,
        {name: number(value) for name, value in content["measures"].items()},
    )


def _probe(content: Mapping[str, Any], name: str, notes: list[str]) -> Probe:
    del name, notes
    subjects, found = content.get("subjects") or {}, content.get("representation") or {}
    return Probe(
        target=str(content["target"]),
        classes=tuple(map(str, content.get("classes", ()))),
        n_train=whole(content.get("n_train")),
        n_test=whole(content.get("n_test")),
        subjects_test=whole(content.get("subjects_test")),
        chance=number(content.get("chance")),
        knn={key: number(value) for key, value in content.get("knn", {}).items()},
        linear={key: number(value) for key, value in content.get("linear", {}).items()},
        auroc={way: number(subjects[way].get("auroc")) for way in ("knn", "linear") if way in subjects},
        representation={key: number(value) for key, value in found.items()},
        neighbours=tuple(
            {**query, "found": [dict(near) for near in query.get("found", ())]} for query in found.get("neighbours", ())
        ),
        opening=whole(content.get("opening", 1)),
    )


def _saliency(content: Mapping[str, Any], name: str, notes: list[str]) -> Saliency:
    del notes
    entries, sanity = content["subjects"], content.get("sanity", {})
    names = ("dice", "energy", "pointing", "share")
    scores = {name: np.array([number(entry[name]) for entry in entries]) for name in names}
    if not entries or not np.isfinite(list(scores.values())).all():
        raise ValueError("nobody's map was scored, or somebody's score is missing")
    return Saliency(
        str(content["map"]),
        str(content.get("target", "")),
        whole(content.get("images")),
        whole(content.get("empty")),
        whole(content.get("left_out")),
        scores,
        number(sanity.get("all")),
        number(sanity.get("limit")),
        str(content.get("masks_by", "")),
        name.removesuffix(".json"),
    )
