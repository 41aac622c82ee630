"""Run folders as plain values: what `run` wrote, read without trusting that all of it is there or whole."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from jaxssl.errors import UserError
from jaxssl.reporting import parse
from jaxssl.reporting.parse import number, whole
from jaxssl.reporting.results import Judged, Probe, Saliency, Speed

Series = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Name of a measured quantity -> (steps, values)."""


KINDS = ("segmentation", "classification")
"""Of tasks that runs are judged by."""

LAST_STEP = 2**53
"""Beyond it a step is no number that a chart can place."""


@dataclass(frozen=True)
class Facts:
    """What run.json says of a run; empty where it does not say."""

    verb: str = ""
    name: str = ""
    method: str = ""
    commit: str = ""
    jaxssl: str = ""
    jax: str = ""
    device: str = ""
    devices: int = 0
    started: str = ""
    finished: str = ""
    seconds: float = float("nan")
    status: str = ""
    init: str = ""
    parameters: int = 0
    command: str = ""
    planned: str = ""
    """The arm of a study that it was trained for; empty of runs that no study asked for."""
    data: str = ""
    classes: tuple[str, ...] = ()
    """Of the masks in its store, the background left out."""
    carried_out: tuple[str, ...] = ()
    """Options that say how a run is carried out, and decide no result."""


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path
    label: str
    facts: Facts
    recipe: Mapping[str, str]
    metrics: Series
    timing: Series
    pictures: Mapping[str, np.ndarray]
    judged: Judged | None
    """By its test subjects; where these were not opened, by the validation subjects."""
    probes: tuple[Probe, ...]
    """The first, then what was asked later."""
    saliency: Saliency | None
    speed: Speed | None
    embedding: Mapping[str, np.ndarray]
    notes: tuple[str, ...] = field(default=())


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read every run folder; plain files among them (a shell's `runs/*` lists them too) are passed over."""
    missing = [folder for folder in folders if not folder.exists()]
    if missing:
        raise UserError(f"There is no run folder {missing[0]}: give folders that a jaxssl run has written.")
    kept = list({folder.resolve(): folder for folder in folders if folder.is_dir()}.values())
    if not kept:
        raise UserError("No run folder was given: name at least one folder that a jaxssl run has written.")
    return [_read_run(folder, label) for folder, label in zip(kept, _labels(kept), strict=True)]


def _read_run(folder: Path, label: str) -> Run:
    if not (folder / "run.json").is_file():
        raise UserError(f"{folder} is not a run folder (it has no run.json): leave it out, or name a jaxssl run.")
    notes: list[str] = []
    facts = _json(folder / "run.json", notes)
    if not facts:
        raise UserError(f"{folder / 'run.json'} cannot be read as JSON: restore it or leave this run out.")
    arrays = _arrays(folder / "embedding.npz", notes)
    return Run(
        folder=folder,
        label=label,
        facts=_facts(facts),
        recipe=dict(_flat(_json(folder / "recipe.json", notes))),
        metrics=_series(folder / "metrics.jsonl", notes),
        timing=_series(folder / "timing.jsonl", notes),
        pictures=_pictures(_arrays(folder / "pictures.npz", notes), notes),
        judged=_judged(folder, notes),
        probes=_probes(folder, notes),
        saliency=_saliency(folder, notes),
        speed=parse.speed(_json(folder / "step.jsonl", notes), "step.jsonl", notes),
        embedding=_embedding(arrays, notes),
        notes=tuple(notes),
    )


def _saliency(folder: Path, notes: list[str]) -> Saliency | None:
    """That on the test subjects, or where they were not asked that on those of validation."""
    test = folder / "saliency.json"
    path = test if test.is_file() else folder / "saliency-validation.json"
    return parse.saliency(_json(path, notes), path.name, notes)


def _judged(folder: Path, notes: list[str]) -> Judged | None:
    """What the test subjects say; while they are not opened, what the validation subjects say."""
    name = "evaluation.json" if (folder / "evaluation.json").exists() else "validation.json"
    return parse.judged(_json(folder / name, notes), name, notes)


def _probes(folder: Path, notes: list[str]) -> tuple[Probe, ...]:
    later = sorted(folder.glob("probe-*.json"), key=lambda path: (len(path.name), path.name))
    found = [parse.probe(_json(path, notes), path.name, notes) for path in [folder / "probe.json", *later]]
    return tuple(each for each in found if each is not None)


def _labels(folders: Sequence[Path]) -> list[str]:
    """The shortest endings of the paths that still tell the folders apart."""
    parts = [folder.resolve().parts for folder in folders]
    longest = max(len(p) for p in parts)
    for depth in range(1, longest + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [folder.as_posix() for folder in folders]


def _json(path: Path, notes: list[str]) -> dict[str, Any]:
    """The object in a JSON file; empty, with a note, when it is damaged; empty without one when it is not there."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        return content
    notes.append(f"{path.name} could not be read and is left out.")
    return {}


def _facts(content: Mapping[str, Any]) -> Facts:
    def text(key: str) -> str:
        # A path with a zero byte is refused by whatever looks for it.
        return str(content.get(key) or "").replace("\0", "")

    carried_out, classes = content.get("carried_out"), content.get("classes")
    return Facts(
        **{key: text(key) for key in ("verb", "name", "method", "commit", "jaxssl", "jax", "device", "status", "init")},
        started=_moment(content.get("started")),
        finished=_moment(content.get("finished")),
        devices=whole(content.get("devices")),
        parameters=whole(content.get("parameters")),
        seconds=number(content.get("seconds")),
        command=text("command"),
        planned=text("planned"),
        data=_data_name(content.get("data")),
        classes=tuple(map(str, classes[1:])) if isinstance(classes, list) else (),
        carried_out=tuple(map(str, carried_out)) if isinstance(carried_out, list) else (),
    )


def _data_name(content: object) -> str:
    if not isinstance(content, Mapping):
        return ""
    return f"{content.get('name', '')}{' (synthetic)' if content.get('synthetic') else ''}"


def _moment(value: object) -> str:
    """A time as `YYYY-MM-DD HH:MM`, from ISO text or from seconds since 1970; empty where no year has these."""
    if isinstance(value, int | float):
        try:
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M")
        except (OverflowError, ValueError, OSError):
            return ""
    return str(value or "").replace("T", " ")[:16]


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested options as (dotted key, text) pairs; a list of plain values stays one value."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield from _flat({str(place): item for place, item in enumerate(value)}, f"{name}.")
        else:
            yield name, value if isinstance(value, str) else json.dumps(value)


def _series(path: Path, notes: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Columns of a JSON-lines file by name; of two lines for one step (a resumed run) the later counts."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    columns: dict[str, dict[int, float]] = {}
    damaged = []
    for place, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            step = int(entry.pop("step"))
            if abs(step) > LAST_STEP:
                raise ValueError("no run takes so many steps")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            damaged.append(place)
            continue
        for name, value in entry.items():
            if isinstance(value, int | float):
                columns.setdefault(name, {})[step] = number(value)
    if damaged:
        places = ", ".join(map(str, damaged[:5])) + (" and more" if len(damaged) > 5 else "")
        notes.append(f"{path.name}: {len(damaged)} damaged line(s) left out (line {places} of {len(lines)}).")
    return {name: _ordered(points) for name, points in columns.items()}


def _ordered(points: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    steps = sorted(points)
    return np.array(steps), np.array([points[step] for step in steps])


def _arrays(path: Path, notes: list[str]) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        notes.append(f"{path.name} could not be read and is left out.")
        return {}


def _pictures(arrays: dict[str, np.ndarray], notes: list[str]) -> dict[str, np.ndarray]:
    """Stacks [N, y, x] of grey or of codes, or with more axes before these."""
    kept = {
        name: stack for name, stack in arrays.items() if stack.dtype.kind in "biuf" and stack.ndim > 2 and stack.size
    }
    if len(kept) < len(arrays):
        notes.append("pictures.npz holds something else than pictures, which is left out.")
    return kept


def _embedding(arrays: dict[str, np.ndarray], notes: list[str]) -> dict[str, np.ndarray]:
    """The embedding [N, d] and its text columns [N]; nothing when there are too few rows to draw a map."""
    embedding = arrays.get("embedding")
    if embedding is None:
        return {}
    numbers = embedding.ndim == 2 and min(embedding.shape) > 1 and embedding.dtype.kind in "iuf"
    if not numbers or not np.isfinite(embedding).all():
        notes.append("embedding.npz holds no finite [N, d] table of at least two rows and columns: no map is drawn.")
        return {}
    columns = {name: value for name, value in arrays.items() if value.shape == embedding.shape[:1]}
    return {**columns, "embedding": embedding}
