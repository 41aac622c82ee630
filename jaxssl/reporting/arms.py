"""Runs that differ in their seeds alone, as one arm of a comparison, and each arm against the one from scratch.

The unit is the subject: an arm's score of a subject is its mean over the arm's runs before subjects are compared.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxssl.evaluate.metrics import mean_auroc
from jaxssl.evaluate.statistics import (
    Estimate,
    Interval,
    auroc_interval,
    bca,
    effect_size,
    holm,
    over_seeds,
    paired_test,
    smallest_detectable,
    studentised,
    swap_test,
    within,
)
from jaxssl.reporting.read import Run
from jaxssl.reporting.results import Classification, Judged, Repeat, Segmentation, Task

SCRATCH = "scratch"
SEEDS = ("train.seed", "data.subset_seed", "name")
"""What the runs of an arm may differ in, besides where their weights and their data lie."""

CARRIED_OUT = (
    "data.resident",
    "data.store",
    "train.checkpoint_every",
    "train.fsdp",
    "train.keep",
    "train.log_every",
    "train.micro_batches",
    "train.probe_every",
    "train.probe_label",
    "train.steps_per_dispatch",
)
"""Options that say where and how a run is carried out, and decide no result: the store's content is in the task."""

BEGINNING = ("init.run", "init.weights")
"""Where the weights lie that a run starts from; what these are is told by their own recipe."""
SUBSET = re.compile(r"-seed\d+(?=\.json$)")
"""In the name of a split file: of each label subset there is one, and the runs of an arm have several."""


@dataclass(frozen=True)
class Paired:
    """An arm's score minus that of the arm from scratch, by subject: over the repeats that both have."""

    scratch: Arm
    repeats: tuple[Repeat, ...]
    differences: np.ndarray
    """By subject; of a measure that is no mean over subjects, empty."""
    estimate: Estimate
    p: float
    effect: Estimate
    detectable: float
    """The smallest true difference that so many subjects show four times in five."""
    also_differs: tuple[str, ...]
    adjusted: float = float("nan")
    """p after Holm, over all arms that are compared."""


@dataclass(frozen=True)
class Arm:
    """Runs of one task, one origin and one recipe."""

    runs: tuple[Run, ...]
    task: Task
    origin: str
    subjects: tuple[str, ...]
    """Those that every run was judged on."""
    estimate: Estimate
    paired: Paired | None = None

    @property
    def label(self) -> str:
        """The run's own, or of several what they have in common."""
        if len(self.runs) == 1:
            return self.runs[0].label
        parts = "" if self.origin == SCRATCH or self.task.kind != "segmentation" else _parts(self.runs[0])
        return f"{self.origin.partition(' (')[0]}{parts}, {self.task.training_subjects} labelled, {len(self.runs)} runs"

    @property
    def results(self) -> list[Judged]:
        return [run.judged for run in self.runs if run.judged is not None]

    @property
    def repeats(self) -> tuple[Repeat, ...]:
        return tuple(result.repeat for result in self.results)

    @property
    def several(self) -> bool:
        """Whether trainings on several label subsets speak for it."""
        return len({repeat.subset_seed for repeat in self.repeats}) > 1

    @property
    def openings(self) -> int:
        """Which time the test subjects were asked the same at most: 1 is the first."""
        return max(result.opening for result in self.results)

    @property
    def uncounted(self) -> bool:
        """Whether nobody knows that of some run."""
        return any(result.opening == 0 for result in self.results)


def arms(runs: Sequence[Run]) -> list[Arm]:
    """All arms by task, scratch first, each with its difference from scratch where one can be had."""
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        if run.judged is not None:
            groups.setdefault(_identity(run, runs), []).append(run)
    alone = [_arm(group, runs) for group in groups.values()]
    found = [replace(arm, paired=_paired(arm, alone)) for arm in alone]
    tested = [arm.paired for arm in found if arm.paired is not None]
    adjusted = dict(zip(map(id, tested), holm([paired.p for paired in tested]).tolist(), strict=True))
    found = [
        replace(arm, paired=arm.paired and replace(arm.paired, adjusted=adjusted[id(arm.paired)])) for arm in found
    ]
    return sorted(found, key=lambda arm: (*map(str, arm.task[:-1]), arm.task[-1], arm.origin != SCRATCH, arm.label))


def origin(run: Run, runs: Sequence[Run]) -> str:
    """Where the weights of a run came from: "scratch", or the method and folder that made them."""
    if not run.facts.init:
        return SCRATCH
    start = source(run, runs)
    if start is None:
        return f"weights of {run.facts.init}"
    return f"{start.facts.method or start.facts.name or 'weights'} (run {start.label})"


def source(run: Run, runs: Sequence[Run]) -> Run | None:
    """The run, among those given, whose weights a run started from.

    `init` was given relative to wherever the command was started, which is taken to be a folder above the run's own.
    """
    if not run.facts.init:
        return None
    places = {(base / run.facts.init).resolve() for base in run.folder.resolve().parents}
    return next((other for other in runs if other is not run and other.folder.resolve() in places), None)


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """Recipe keys that do not have one and the same value in every run of a verb, in the recipe's order."""
    found: dict[str, None] = {}
    for verb in {run.facts.verb: None for run in runs}:
        recipes = [run.recipe for run in runs if run.facts.verb == verb and run.recipe]
        for key in {key: None for recipe in recipes for key in recipe}:
            if len({recipe.get(key) for recipe in recipes}) > 1:
                found[key] = None
    return list(found)


def _identity(run: Run, runs: Sequence[Run]) -> Hashable:
    """What the runs of an arm have in common: the task, the recipe, and the recipe of what they started from."""
    start, judged = source(run, runs), run.judged
    before = _choices(start) if start else run.facts.init
    return judged and (judged.task, _asked(judged)), _choices(run), before


def _choices(run: Run) -> Hashable:
    free = (*SEEDS, *CARRIED_OUT, *BEGINNING)
    return tuple(sorted((key, SUBSET.sub("", value)) for key, value in run.recipe.items() if key not in free))


def _parts(run: Run) -> str:
    """What was taken over, where that is not all there was."""
    taken = re.findall(r"\w+", run.recipe.get("init.parts", ""))
    return "" if not taken or "decoder" in taken else f" {' and '.join(taken)} only"


def _asked(result: Judged) -> Hashable:
    """Who was asked, and of classes what is true of them: figures of other cases are neither averaged nor paired."""
    if isinstance(result, Classification):
        order = np.argsort(result.subjects, kind="stable")
        return tuple(result.subjects[order].tolist()), tuple(result.truth[order].tolist())
    return frozenset(_scored(result))


def _arm(group: Sequence[Run], runs: Sequence[Run]) -> Arm:
    first = group[0].judged
    results = [run.judged for run in group if run.judged is not None]
    assert first is not None  # noqa: S101 - only runs that were judged are grouped
    subjects = _shared(results)
    return Arm(tuple(group), first.task, origin(group[0], runs), subjects, _estimate(results, subjects))


def _shared(results: Sequence[Judged]) -> tuple[str, ...]:
    """Subjects that were scored in every run."""
    sets = [set(_scored(result)) for result in results]
    return tuple(sorted(set.intersection(*sets)))


def _scored(result: Judged) -> list[str]:
    if isinstance(result, Classification):
        return list(map(str, result.subjects))
    return [subject for subject, value in result.by_subject.items() if np.isfinite(value)]


def dice_table(results: Sequence[Judged], subjects: Sequence[str]) -> np.ndarray:
    """Dice [subject, label subset], averaged over the seeds of each subset."""
    by_subject = [result.by_subject for result in results if isinstance(result, Segmentation)]
    scores = np.array([[own[subject] for own in by_subject] for subject in subjects])
    return over_seeds(scores, [result.repeat.subset_seed for result in results])


def _estimate(results: Sequence[Judged], subjects: Sequence[str]) -> Estimate:
    if isinstance(results[0], Segmentation):
        table = dice_table(results, subjects)
        return Estimate(float(table.mean()), within(studentised(table), 0, 1))
    answers = [_answers(result, subjects) for result in results if isinstance(result, Classification)]

    def measure(rows: np.ndarray) -> float:
        return float(np.mean([mean_auroc(each.truth[rows], each.probabilities[rows]) for each in answers]))

    first, value = answers[0], measure(np.arange(len(answers[0].truth)))
    if len(answers) == 1 and len(first.task.classes) == 2 and len(set(subjects)) == len(first.truth):
        # Of two classes the sizes alone tell, and tell better: the bootstrap of a few patients is too narrow.
        positives = int(np.sum(first.truth == 1))
        return Estimate(value, auroc_interval(value, positives, len(first.truth) - positives))
    return Estimate(value, bca(measure, first.subjects))


def _answers(result: Classification, subjects: Sequence[str]) -> Classification:
    """The cases of these subjects, in one order for all runs."""
    kept = np.flatnonzero(np.isin(result.subjects, subjects))
    kept = kept[np.argsort(result.subjects[kept], kind="stable")]
    return replace(
        result,
        subjects=result.subjects[kept],
        truth=result.truth[kept],
        probabilities=result.probabilities[kept],
    )


def _paired(arm: Arm, others: Sequence[Arm]) -> Paired | None:
    """Against the arm from scratch of the same task that has a repeat in common and differs in fewest options."""
    if arm.origin == SCRATCH:
        return None
    partners = [
        (other, shared)
        for other in others
        if other.origin == SCRATCH and other.task == arm.task and (shared := _common(arm, other))
    ]
    if not partners:
        return None
    scratch, repeats = min(partners, key=lambda pair: len(_also_differs(arm, *pair)))
    ours, theirs = _of_repeats(arm, repeats), _of_repeats(scratch, repeats)
    subjects = _shared([*ours, *theirs])
    if not subjects or not _comparable(ours[0], theirs[0], subjects):
        return None
    compare = _paired_scores if isinstance(ours[0], Segmentation) else _paired_answers
    return compare(scratch, repeats, ours, theirs, subjects, _also_differs(arm, scratch, repeats))


def _comparable(one: Judged, other: Judged, subjects: Sequence[str]) -> bool:
    """Whether both have the same cases of these subjects: other views may be other images of them."""
    if isinstance(one, Segmentation) or isinstance(other, Segmentation):
        return True
    return _asked(_answers(one, subjects)) == _asked(_answers(other, subjects))


def _common(arm: Arm, other: Arm) -> tuple[Repeat, ...]:
    return tuple(repeat for repeat in dict.fromkeys(arm.repeats) if repeat in other.repeats)


def _of_repeats(arm: Arm, repeats: Sequence[Repeat]) -> list[Judged]:
    """A result for each repeat."""
    by_repeat = {result.repeat: result for result in reversed(arm.results)}
    return [by_repeat[repeat] for repeat in repeats]


def _paired_scores(
    scratch: Arm,
    repeats: tuple[Repeat, ...],
    ours: Sequence[Judged],
    theirs: Sequence[Judged],
    subjects: Sequence[str],
    also_differs: tuple[str, ...],
) -> Paired:
    table = dice_table(ours, subjects) - dice_table(theirs, subjects)
    differences = table.mean(axis=1)
    n = len(differences)
    return Paired(
        scratch,
        repeats,
        differences,
        Estimate(float(differences.mean()), within(studentised(table), -1, 1)),
        paired_test(differences),
        effect_size(differences),
        smallest_detectable(float(differences.std(ddof=1)), n) if n > 1 else float("nan"),
        also_differs,
    )


def _paired_answers(
    scratch: Arm,
    repeats: tuple[Repeat, ...],
    ours: Sequence[Judged],
    theirs: Sequence[Judged],
    subjects: Sequence[str],
    also_differs: tuple[str, ...],
) -> Paired:
    """AUROC is no mean over subjects: whole subjects are resampled, or swapped between the two."""
    pairs = [
        (_answers(one, subjects), _answers(other, subjects))
        for one, other in zip(ours, theirs, strict=True)
        if isinstance(one, Classification) and isinstance(other, Classification)
    ]
    names, owner = np.unique(pairs[0][0].subjects, return_inverse=True)

    def difference(rows: np.ndarray, swapped: np.ndarray | None = None) -> float:
        return float(np.mean([_auroc_difference(*pair, rows, swapped) for pair in pairs]))

    everyone = np.arange(len(owner))
    value = difference(everyone)
    return Paired(
        scratch,
        repeats,
        np.empty(0),
        Estimate(value, bca(difference, pairs[0][0].subjects)),
        swap_test(lambda who: difference(everyone, who[owner]), len(names)),
        Estimate(float("nan"), Interval(float("nan"), float("nan"))),
        float("nan"),
        also_differs,
    )


def _auroc_difference(
    ours: Classification, theirs: Classification, rows: np.ndarray, swapped: np.ndarray | None
) -> float:
    one, other = ours.probabilities[rows], theirs.probabilities[rows]
    if swapped is not None:
        one, other = np.where(swapped[:, None], other, one), np.where(swapped[:, None], one, other)
    return mean_auroc(ours.truth[rows], one) - mean_auroc(theirs.truth[rows], other)


def _also_differs(arm: Arm, other: Arm, repeats: Sequence[Repeat]) -> tuple[str, ...]:
    """Recipe keys that tell two arms apart, besides what decides no result and where the weights come from."""
    pair = [
        next(run for run in each.runs if run.judged is not None and run.judged.repeat == repeats[0])
        for each in (arm, other)
    ]
    return tuple(key for key in differing_keys(pair) if key not in (*SEEDS, *CARRIED_OUT) and key[:5] != "init.")
