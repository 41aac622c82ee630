"""What runs were judged by, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

QUANTITIES = {
    "edv": ("LV end-diastolic volume", "ml"),
    "esv": ("LV end-systolic volume", "ml"),
    "ef": ("LV ejection fraction", "%"),
    "mass": ("LV mass", "g"),
    "circumference": ("Head circumference", "mm"),
}
"""What is measured in masks, with its unit."""


class Task(NamedTuple):
    """What was asked of a run: runs of one task can be compared."""

    kind: str
    on: str
    data: str
    fingerprint: str
    target: str
    classes: tuple[str, ...]
    training_subjects: int

    @property
    def measure(self) -> str:
        """What runs are compared by."""
        return "Dice" if self.kind == "segmentation" else "AUROC"


class Repeat(NamedTuple):
    """Which of several trainings for one task: the choice of labelled subjects, and the start."""

    subset_seed: int
    seed: int


@dataclass(frozen=True)
class Segmentation:
    """Of held-out subjects; every array is [classes], already averaged over the subject's volumes.

    `distances` has "hd95" and "assd" in mm, nan where no volume of the subject has both masks. `profile` is
    [slices, 2]: place from base (0) to apex (1) and mean Dice. `measured` has (found, true) of each quantity by subject
    and study.
    """

    task: Task
    repeat: Repeat
    opening: int
    dice: Mapping[str, np.ndarray]
    distances: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    profile: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    measured: Mapping[str, Mapping[tuple[str, str], tuple[float, float]]] = field(default_factory=dict)
    by_moment: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    """Dice of the volumes of each moment of the beat, where there are several."""

    @property
    def by_subject(self) -> dict[str, float]:
        """Mean over classes for each subject."""
        return {subject: float(mean(values)) for subject, values in self.dice.items()}

    @property
    def per_class(self) -> dict[str, float]:
        """Mean over subjects for each class; a class absent from a subject does not count there."""
        means = mean(np.stack(list(self.dice.values())), axis=0)
        return dict(zip(self.task.classes, means.tolist(), strict=True))

    @property
    def mean(self) -> float:
        """Mean over subjects of the subject's mean over classes."""
        return float(mean(np.array(list(self.by_subject.values()))))


@dataclass(frozen=True)
class Classification:
    """Answers for held-out cases, one a subject or, in the order of the files, several."""

    task: Task
    repeat: Repeat
    opening: int
    subjects: np.ndarray
    truth: np.ndarray
    probabilities: np.ndarray
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Probe:
    """How simple classifiers do on frozen features, and what guessing the commonest class gives."""

    target: str
    classes: tuple[str, ...]
    n_train: int
    n_test: int
    subjects_test: int
    chance: float
    knn: Mapping[str, float]
    linear: Mapping[str, float]
    auroc: Mapping[str, float] = field(default_factory=dict)
    """Of a subject's label, by kNN and linear: that of answers averaged over all images of a subject."""
    representation: Mapping[str, float] = field(default_factory=dict)
    neighbours: tuple[Mapping[str, Any], ...] = ()
    opening: int = 1


@dataclass(frozen=True)
class Saliency:
    """Where a classifier looks, and whether its maps are its own."""

    map: str
    target: str
    images: int
    empty: int
    left_out: int
    scores: Mapping[str, np.ndarray]
    """By subject: "dice", "energy", "pointing", and "share", what each is about at random."""
    sanity: float
    """Rank correlation with the maps of random weights, which should lie within `limit` of 0."""
    limit: float
    masks_by: str
    pictures: str
    """What the names of its pictures begin with, as that of its file does."""


@dataclass(frozen=True)
class Speed:
    """What `jaxssl bench step` has found of a run's step; nan for what it could not tell."""

    batch: int
    precision: str
    device: str
    devices: int
    images_per_second: float
    """Of the step on a batch that is there already."""
    fed: float
    """The same of steps that are fed as training is."""
    step_bytes: float
    flops_per_image: float
    mfu: float


Judged = Segmentation | Classification


def mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean of the finite entries; nan where there are none."""
    finite = np.isfinite(values)
    count = finite.sum(axis=axis)
    total = np.where(finite, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
