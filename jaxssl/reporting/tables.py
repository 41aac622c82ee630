"""What the page's tables and charts say of each arm besides its main score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxssl.evaluate.metrics import Reliability, reliability
from jaxssl.evaluate.statistics import Agreement, Estimate, agreement, studentised, within
from jaxssl.reporting.arms import Arm
from jaxssl.reporting.results import QUANTITIES, Classification, Segmentation, mean

BINS = 5
"""Of the way from base to apex."""
LISTED = 6
"""Classes beyond which a row does not name them."""


@dataclass(frozen=True)
class Overlap:
    """Means over subjects, each its mean over seeds and then over label subsets, by class: Dice, and distances in mm
    with those that are missing."""

    dice: list[Estimate]
    hd95: list[Estimate]
    assd: list[Estimate]
    by_moment: dict[str, Estimate]
    """Mean Dice of each moment of the beat, where there are several."""
    missing: int
    """Subjects and classes of which a run has no distance, one mask being empty or no grid."""

    @property
    def measured(self) -> bool:
        """Whether there is any distance."""
        return any(np.isfinite(found.value) for found in self.hd95)


@dataclass(frozen=True)
class Measured:
    """How a quantity that is measured in masks agrees with its truth."""

    arm: Arm
    name: str
    unit: str
    found: Agreement


def overlap(arm: Arm) -> Overlap:
    """Of an arm of segmentations."""
    results = [result for result in arm.results if isinstance(result, Segmentation)]
    dice, hd95, assd = (
        np.stack([[values[subject] for subject in arm.subjects] for values in each])
        for each in (
            [result.dice for result in results],
            *([_distance(result, name) for result in results] for name in ("hd95", "assd")),
        )
    )
    found = [
        [_estimate(own, most) for own in _over_runs(each, results).T]
        for each, most in ((dice, 1.0), (hd95, np.inf), (assd, np.inf))
    ]
    missing = int(np.isnan(hd95).any(axis=0).sum())
    return Overlap(*found, by_moment=_by_moment(arm, results), missing=missing)


def _by_moment(arm: Arm, results: Sequence[Segmentation]) -> dict[str, Estimate]:
    """Of those subjects that have the moment in every run."""
    found = {}
    for moment in results[0].by_moment:
        own = [result.by_moment.get(moment, {}) for result in results]
        if subjects := [subject for subject in arm.subjects if all(subject in each for each in own)]:
            table = np.array([[float(mean(each[subject])) for subject in subjects] for each in own])
            found[moment] = _estimate(_over_runs(table, results), 1.0)
    return found


def agreements(arms: Sequence[Arm]) -> list[Measured]:
    """Every quantity of every arm that has it in at least two subjects."""
    found = []
    for name, (words, unit) in QUANTITIES.items():
        for arm in arms:
            pairs = _pairs(arm, name)
            if len(pairs) > 1:
                found.append(Measured(arm, words, unit, agreement(pairs[:, 0], pairs[:, 1])))
    return found


def profile(arm: Arm) -> tuple[np.ndarray, np.ndarray] | None:
    """Middles of equal parts of the way from base to apex, and the mean Dice of the slices in each; none if unknown."""
    points = np.concatenate([result.profile for result in arm.results if isinstance(result, Segmentation)])
    if not len(points):
        return None
    part = np.clip((points[:, 0] * BINS).astype(int), 0, BINS - 1)
    middles = (np.arange(BINS) + 0.5) / BINS
    return middles, np.array([mean(points[part == number, 1]) for number in range(BINS)])


def calibration(arm: Arm) -> Reliability:
    """Of the answers of all runs of an arm together."""
    results = [result for result in arm.results if isinstance(result, Classification)]
    return reliability(
        np.concatenate([result.truth for result in results]),
        np.concatenate([result.probabilities for result in results]),
    )


def measures(arm: Arm) -> dict[str, float]:
    """Means over the runs of an arm of classifications."""
    results = [result.measures for result in arm.results if isinstance(result, Classification)]
    return {name: float(mean(np.array([own.get(name, np.nan) for own in results]))) for name in results[0]}


def _estimate(values: np.ndarray, most: float) -> Estimate:
    """The mean of the subjects that have a value, which lies between 0 and `most`."""
    known = values[np.isfinite(values)]
    return Estimate(float(mean(known)), within(studentised(known), 0, most))


def counted(arm: Arm) -> str:
    """How many of those who were asked have each class; of many classes, the fewest and the most."""
    (result, *_) = (each for each in arm.results if isinstance(each, Classification))
    counts = np.bincount(result.truth, minlength=len(arm.task.classes))
    if len(counts) > LISTED:
        return f"{len(counts)} classes of {counts.min()} to {counts.max()}"
    return ", ".join(f"{name} {count}" for name, count in zip(arm.task.classes, counts, strict=True))


def _over_runs(values: np.ndarray, results: Sequence[Segmentation]) -> np.ndarray:
    """[run, ...] averaged as the main score is: over the seeds of each label subset, then over the subsets."""
    subsets = np.array([result.repeat.subset_seed for result in results])
    return mean(np.stack([mean(values[subsets == name], axis=0) for name in np.unique(subsets)]), axis=0)


def _distance(result: Segmentation, name: str) -> dict[str, np.ndarray]:
    unknown = np.full(len(result.task.classes), np.nan)
    return {subject: result.distances.get(name, {}).get(subject, unknown) for subject in result.dice}


def _pairs(arm: Arm, name: str) -> np.ndarray:
    """[subjects, 2]: what was found on average over runs and studies, and the truth; those that every run has."""
    results = [result.measured.get(name, {}) for result in arm.results if isinstance(result, Segmentation)]
    shared = set.intersection(*(set(each) for each in results)) if results else set()
    by_subject: dict[str, list[tuple[float, float]]] = {}
    for key in sorted(shared):
        by_subject.setdefault(key[0], []).extend(each[key] for each in results)
    return np.array([np.mean(pairs, axis=0) for pairs in by_subject.values()]).reshape(-1, 2)
