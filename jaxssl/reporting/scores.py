"""The score of an arm and the difference of two, with how sure they are: Dice or, no mean over subjects, AUROC."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxssl.evaluate.metrics import mean_auroc
from jaxssl.evaluate.statistics import (
    UNKNOWN,
    Estimate,
    auroc_interval,
    bca,
    effect_size,
    over_seeds,
    paired_test,
    smallest_detectable,
    studentised,
    swap_test,
    within,
)
from jaxssl.reporting.results import Classification, Judged, Segmentation

CANNOT = 6
"""Fewer subjects have too few signs for a p below .05."""


@dataclass(frozen=True)
class Difference:
    """One score minus another, of the same subjects and repeats."""

    differences: np.ndarray
    """By subject; of a measure that is no mean over subjects, empty."""
    estimate: Estimate
    against: float
    """The other score."""
    p: float
    effect: Estimate
    detectable: float
    """The smallest true difference that so many subjects show four times in five; nan where they can show none."""


def estimate(results: Sequence[Judged], subjects: Sequence[str]) -> Estimate:
    """The score of these subjects over the runs of an arm."""
    if isinstance(results[0], Segmentation):
        table = dice_table(results, subjects)
        return Estimate(float(table.mean()), within(studentised(table), 0, 1))
    answers = _answers(results, subjects)

    def measure(rows: np.ndarray) -> float:
        return float(np.mean([mean_auroc(each.truth[rows], each.probabilities[rows]) for each in answers]))

    first, value = answers[0], measure(np.arange(len(answers[0].truth)))
    if len(answers) == 1 and len(first.task.classes) == 2 and len(set(subjects)) == len(first.truth):
        # Of two classes the sizes alone tell, and tell better: the bootstrap of a few patients is too narrow.
        positives = int(np.sum(first.truth == 1))
        return Estimate(value, auroc_interval(value, positives, len(first.truth) - positives))
    return Estimate(value, bca(measure, first.subjects))


def difference(ours: Sequence[Judged], theirs: Sequence[Judged], subjects: Sequence[str]) -> Difference:
    """What ours have more than theirs, repeat by repeat."""
    of_kind = _of_scores if isinstance(ours[0], Segmentation) else _of_answers
    return of_kind(ours, theirs, subjects)


def dice_table(results: Sequence[Judged], subjects: Sequence[str]) -> np.ndarray:
    """Dice [subject, label subset], averaged over the seeds of each subset."""
    by_subject = [result.by_subject for result in results if isinstance(result, Segmentation)]
    scores = np.array([[own[subject] for own in by_subject] for subject in subjects])
    return over_seeds(scores, [result.repeat.subset_seed for result in results])


def shared(results: Sequence[Judged]) -> tuple[str, ...]:
    """Subjects that were scored in every run."""
    sets = [set(_scored(result)) for result in results]
    return tuple(sorted(set.intersection(*sets)))


def cases(result: Judged) -> Hashable:
    """Who was asked, and of classes what is true of them: figures of other cases are neither averaged nor paired."""
    if isinstance(result, Classification):
        order = np.argsort(result.subjects, kind="stable")
        return tuple(result.subjects[order].tolist()), tuple(result.truth[order].tolist())
    return frozenset(_scored(result))


def comparable(one: Judged, other: Judged, subjects: Sequence[str]) -> bool:
    """Whether both have the same cases of these subjects: other views may be other images of them."""
    if isinstance(one, Segmentation) or isinstance(other, Segmentation):
        return True
    return cases(_of_subjects(one, subjects)) == cases(_of_subjects(other, subjects))


def _of_scores(ours: Sequence[Judged], theirs: Sequence[Judged], subjects: Sequence[str]) -> Difference:
    against = dice_table(theirs, subjects)
    table = dice_table(ours, subjects) - against
    differences = table.mean(axis=1)
    n = len(differences)
    return Difference(
        differences,
        Estimate(float(differences.mean()), within(studentised(table), -1, 1)),
        float(against.mean()),
        paired_test(differences),
        effect_size(differences),
        smallest_detectable(float(differences.std(ddof=1)), n) if n >= CANNOT else float("nan"),
    )


def _of_answers(ours: Sequence[Judged], theirs: Sequence[Judged], subjects: Sequence[str]) -> Difference:
    """AUROC is no mean over subjects: whole subjects are resampled, or swapped between the two."""
    pairs = list(zip(_answers(ours, subjects), _answers(theirs, subjects), strict=True))
    names, owner = np.unique(pairs[0][0].subjects, return_inverse=True)

    def difference(rows: np.ndarray, swapped: np.ndarray | None = None) -> float:
        return float(np.mean([_auroc_difference(*pair, rows, swapped) for pair in pairs]))

    everyone = np.arange(len(owner))
    return Difference(
        np.empty(0),
        Estimate(difference(everyone), bca(difference, pairs[0][0].subjects)),
        float(np.mean([mean_auroc(other.truth, other.probabilities) for _, other in pairs])),
        swap_test(lambda who: difference(everyone, who[owner]), len(names)),
        Estimate(float("nan"), UNKNOWN),
        float("nan"),
    )


def _auroc_difference(
    ours: Classification, theirs: Classification, rows: np.ndarray, swapped: np.ndarray | None
) -> float:
    one, other = ours.probabilities[rows], theirs.probabilities[rows]
    if swapped is not None:
        one, other = np.where(swapped[:, None], other, one), np.where(swapped[:, None], one, other)
    return mean_auroc(ours.truth[rows], one) - mean_auroc(theirs.truth[rows], other)


def _answers(results: Sequence[Judged], subjects: Sequence[str]) -> list[Classification]:
    """The cases of these subjects, in one order for all runs."""
    return [_of_subjects(result, subjects) for result in results if isinstance(result, Classification)]


def _of_subjects(result: Classification, subjects: Sequence[str]) -> Classification:
    kept = np.flatnonzero(np.isin(result.subjects, subjects))
    kept = kept[np.argsort(result.subjects[kept], kind="stable")]
    return replace(
        result,
        subjects=result.subjects[kept],
        truth=result.truth[kept],
        probabilities=result.probabilities[kept],
    )


def _scored(result: Judged) -> list[str]:
    if isinstance(result, Classification):
        return list(map(str, result.subjects))
    return [subject for subject, value in result.by_subject.items() if np.isfinite(value)]
