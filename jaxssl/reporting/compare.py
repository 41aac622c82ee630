"""Fine-tuned runs side by side: each against the run from scratch with the same data, labelled subjects and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxssl.reporting.read import Evaluation, Run

RESAMPLES = 10_000
ENOUGH = 30
"""Subjects below which an interval from resampling is too narrow to be relied on."""


@dataclass(frozen=True)
class Paired:
    """A run's Dice minus its scratch run's, subject by subject."""

    scratch: Run
    differences: np.ndarray
    mean: float
    low: float
    high: float
    also_differs: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One line of the comparison table."""

    run: Run
    evaluation: Evaluation
    origin: str
    paired: Paired | None


def comparison(runs: Sequence[Run]) -> list[Row]:
    """A row for every evaluated run, by labelled subjects and seed, scratch first."""
    evaluated = [(run, run.evaluation) for run in runs if run.evaluation is not None]
    rows = [Row(run, evaluation, origin(run, runs), _paired(run, evaluation, runs)) for run, evaluation in evaluated]
    return sorted(rows, key=_order)


def _order(row: Row) -> tuple[object, ...]:
    evaluation = row.evaluation
    return evaluation.training_subjects, evaluation.subset_seed, evaluation.seed, row.origin != "scratch", row.origin


def origin(run: Run, runs: Sequence[Run]) -> str:
    """Where the weights of a run came from: "scratch", or the method and folder that made them."""
    if not run.facts.init:
        return "scratch"
    start = source(run, runs)
    if start is None:
        return f"weights of {run.facts.init}"
    return f"{start.facts.method or start.facts.name or 'weights'} (run {start.label})"


def bootstrap_interval(differences: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """95% percentile interval of the mean, [n] differences resampled over subjects; nan below two subjects."""
    n = len(differences)
    if n < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, n, size=(resamples, n))
    low, high = np.quantile(differences[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """Recipe keys that do not have one and the same value in every run of a verb, in the recipe's order."""
    found: dict[str, None] = {}
    for verb in {run.facts.verb: None for run in runs}:
        recipes = [run.recipe for run in runs if run.facts.verb == verb and run.recipe]
        for key in {key: None for recipe in recipes for key in recipe}:
            if len({recipe.get(key) for recipe in recipes}) > 1:
                found[key] = None
    return list(found)


def source(run: Run, runs: Sequence[Run]) -> Run | None:
    """The run, among those given, whose weights a run started from.

    `init` was given relative to wherever the command was started, which is taken to be a folder above the run's own.
    """
    if not run.facts.init:
        return None
    places = {(base / run.facts.init).resolve() for base in run.folder.resolve().parents}
    return next((other for other in runs if other is not run and other.folder.resolve() in places), None)


def _paired(run: Run, evaluation: Evaluation, runs: Sequence[Run]) -> Paired | None:
    if not run.facts.init:
        return None
    partners = [other for other in runs if not other.facts.init and _same_task(evaluation, other.evaluation)]
    if not partners:
        return None
    scratch = min(partners, key=lambda other: len(_also_differs(run, other)))
    theirs = scratch.evaluation.by_subject if scratch.evaluation else {}
    ours = evaluation.by_subject
    differences = np.array([ours[subject] - theirs[subject] for subject in ours if subject in theirs])
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return None
    low, high = bootstrap_interval(differences)
    return Paired(scratch, differences, float(differences.mean()), low, high, _also_differs(run, scratch))


def _same_task(one: Evaluation, other: Evaluation | None) -> bool:
    return other is not None and _task(one) == _task(other)


def _task(evaluation: Evaluation) -> tuple[object, ...]:
    return (
        evaluation.data,
        evaluation.fingerprint,
        evaluation.classes,
        evaluation.training_subjects,
        evaluation.subset_seed,
        evaluation.seed,
    )


def _also_differs(run: Run, other: Run) -> tuple[str, ...]:
    """Recipe keys, besides the name and where the weights come from, that tell two runs apart."""
    return tuple(key for key in differing_keys([run, other]) if key != "name" and not key.startswith("init"))
