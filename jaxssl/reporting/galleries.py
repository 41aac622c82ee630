"""What the page shows of images: segmentations, beats, saliency, neighbours and the map of embeddings; no markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxssl.evaluate.statistics import Estimate, studentised, within
from jaxssl.reporting import figures, pictures
from jaxssl.reporting.read import Run
from jaxssl.reporting.results import Saliency, Segmentation

MAPPED = ("view", "moment", "vendor", "group")


@dataclass(frozen=True)
class Segmentations:
    """Runs that predicted the same images."""

    runs: tuple[Run, ...]
    asked: str
    """Of which part the subjects are."""
    classes: tuple[str, ...]
    samples: tuple[pictures.Segmented, ...]


@dataclass(frozen=True)
class Beat:
    """Runs that predicted the frames of the same slice."""

    runs: tuple[Run, ...]
    asked: str
    frames: tuple[pictures.Frame, ...]


@dataclass(frozen=True)
class Explained:
    """Where a run looks, as means over subjects, and some of its maps."""

    saliency: Saliency
    scores: Mapping[str, Estimate]
    n: int
    doubtful: bool
    pictures: list[list[pictures.Tile]]


@dataclass(frozen=True)
class Map:
    """An embedding in its principal plane, coloured in several ways."""

    panels: tuple[tuple[str, str], ...]
    shares: np.ndarray
    shown: int
    rows: int
    features: int


def neighbours(runs: Sequence[Run], samples: int) -> list[tuple[Run, list[list[pictures.Tile]]]]:
    """A column for each of some test images: itself, then the training images that lie nearest."""
    found = []
    for run in runs:
        queries, near = (run.pictures.get(f"neighbours/{part}") for part in ("query", "found"))
        named = run.probes[0].neighbours if run.probes else ()
        if queries is None or near is None or (queries.ndim, near.ndim) != (3, 4):
            continue
        if not len(queries) == len(near) == len(named):
            continue
        columns = [
            [pictures.tile(query, _told(about)), *map(pictures.tile, own, map(_told, about.get("found", ())))]
            for query, own, about in zip(queries[:samples], near, named, strict=False)
        ]
        found += [(run, columns)] if columns else []
    return found


def _told(about: Mapping[str, Any]) -> str:
    """What is known of a neighbour, or of whose they are."""
    similarity = about.get("similarity")
    words = [str(about[name]) for name in MAPPED if about.get(name)]
    return ", ".join([*words, *([f"{similarity:.2f}"] if isinstance(similarity, float) else [])])


def explained(runs: Sequence[Run], samples: int) -> list[tuple[Run, Explained]]:
    """Runs whose maps were laid over the heart."""
    found = []
    for run in runs:
        if (saliency := run.saliency) is None:
            continue
        scores = {
            name: Estimate(float(values.mean()), within(studentised(values), 0, 1))
            for name, values in saliency.scores.items()
        }
        shown = {part: run.pictures.get(f"{saliency.pictures}/{part}") for part in ("image", "map")}
        columns = pictures.columns({k: v for k, v in shown.items() if v is not None}, "", samples)
        doubtful = not abs(saliency.sanity) < saliency.limit
        found.append((run, Explained(saliency, scores, len(saliency.scores["dice"]), doubtful, columns)))
    return found


def segmentations(runs: Sequence[Run], samples: int) -> list[Segmentations]:
    """Runs grouped by the images they were shown on, each image once beside the truth and every prediction."""
    groups = _shown_alike(runs, "segmentation/image", "segmentation/truth", "segmentation/prediction")
    return [_segmentation(group, samples) for group in groups] if samples else []


def beats(runs: Sequence[Run], samples: int) -> list[Beat]:
    """Runs grouped by the beating heart that they were shown, with every prediction."""
    groups = _shown_alike(runs, "cine/image", "cine/prediction")
    return [
        Beat(
            tuple(group),
            _asked(group),
            tuple(pictures.beat(group[0].pictures["cine/image"], [run.pictures["cine/prediction"] for run in group])),
        )
        for group in groups[:samples]
    ]


def embedding_map(run: Run, dots: int) -> Map | None:
    """The first two principal components, once for each column that tells at least two kinds apart."""
    if not run.embedding:
        return None
    embedding = run.embedding["embedding"]
    rows = _spread(len(embedding), 2000)
    scores, shares = figures.principal_plane(embedding[rows])
    seen = _spread(len(rows), dots)
    panels = []
    for name in MAPPED:
        column = run.embedding.get(name)
        if column is not None and len(np.unique(column)) > 1:
            names = [str(value) for value in column[rows][seen]]
            panels.append((name, figures.scatter_panel(scores[seen], shares, names, f"by {name}")))
    if not panels:
        panels.append(("", figures.scatter_panel(scores[seen], shares, ["image"] * len(seen), "all images")))
    return Map(tuple(panels), shares, len(seen), len(embedding), embedding.shape[1])


def _shown_alike(runs: Sequence[Run], *names: str) -> list[list[Run]]:
    """Runs with these stacks of pictures, grouped by all of them but the last, which is the run's own answer."""
    groups: dict[bytes, list[Run]] = {}
    for run in runs:
        stacks = [run.pictures[name] for name in names if name in run.pictures and run.pictures[name].ndim == 3]
        if len(stacks) == len(names) and len({stack.shape for stack in stacks}) == 1:
            groups.setdefault(b"".join(stack.tobytes() for stack in stacks[:-1]), []).append(run)
    return list(groups.values())


def _asked(group: Sequence[Run]) -> str:
    """Whose pictures they are; of a run whose scores cannot be read it is not known."""
    return next((run.judged.task.on for run in group if run.judged), "held-out")


def _segmentation(group: Sequence[Run], most: int) -> Segmentations:
    first = group[0].pictures
    images, truths = first["segmentation/image"], first["segmentation/truth"]
    samples = [
        pictures.segmented(image, truth, [run.pictures["segmentation/prediction"][place] for run in group])
        for place, (image, truth) in enumerate(zip(images[:most], truths, strict=False))
    ]
    named = (run.judged.task.classes if isinstance(run.judged, Segmentation) else run.facts.classes for run in group)
    return Segmentations(tuple(group), _asked(group), next(filter(None, named), ()), tuple(samples))


def _spread(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` places, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
