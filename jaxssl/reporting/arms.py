"""Runs that differ in their seeds alone, as one arm of a comparison, and each arm against the one from scratch.

The unit is the subject: an arm's score of a subject is its mean over the arm's runs before subjects are compared.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from jaxssl.evaluate.statistics import FEWEST_REPEATS, Estimate, holm
from jaxssl.reporting.read import Run
from jaxssl.reporting.results import Judged, Repeat, Task
from jaxssl.reporting.scores import Difference, cases, comparable, difference, estimate, shared

SCRATCH = "scratch"
SEEDS = ("train.seed", "data.subset_seed", "name")
"""What the runs of an arm may differ in, besides where their weights and their data lie."""

PLACES = ("data.store", "init.run", "init.weights")
"""Where data and weights lie: the task tells what the former are, and their own recipe what the latter."""
INPUT = ("method.input", "data.masks", "data.partners")
"""What a network is shown, and what has to be there for it."""
STYLES = {
    "full": "whole image",
    "heart": "heart only",
    "box": "heart boxed out",
    "swapped": "swapped background",
}
SUBSET = re.compile(r"-seed\d+(?=\.json$)")
"""In the name of a split file: of each label subset there is one, and the runs of an arm have several."""


@dataclass(frozen=True)
class Paired(Difference):
    """An arm against that from scratch, over the repeats that both have."""

    scratch: Arm
    repeats: tuple[Repeat, ...]
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
    label: str = ""
    paired: Paired | None = None

    @property
    def results(self) -> list[Judged]:
        return [run.judged for run in self.runs if run.judged is not None]

    @property
    def repeats(self) -> tuple[Repeat, ...]:
        return tuple(result.repeat for result in self.results)

    @property
    def several(self) -> bool:
        """Whether its interval speaks of further trainings too."""
        return len({repeat.subset_seed for repeat in self.repeats}) >= FEWEST_REPEATS

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
    alone = _labelled([_arm(group, runs) for group in groups.values()], runs)
    found = [replace(arm, paired=_paired(arm, alone)) for arm in alone]
    tested = [arm.paired for arm in found if arm.paired is not None]
    adjusted = dict(zip(map(id, tested), holm([paired.p for paired in tested]).tolist(), strict=True))
    found = [
        replace(arm, paired=arm.paired and replace(arm.paired, adjusted=adjusted[id(arm.paired)])) for arm in found
    ]
    return sorted(found, key=lambda arm: (*map(str, arm.task[:-1]), arm.task[-1], arm.origin != SCRATCH, arm.label))


def origin(run: Run, runs: Sequence[Run]) -> str:
    """Where the weights of a run came from: "scratch", or the method that made them, from what, and in which folder."""
    if not run.facts.init:
        return SCRATCH
    start = source(run, runs)
    if start is None:
        return f"weights of {run.facts.init}"
    style = "" if shown(start) == STYLES["full"] else f" shown {shown(start)}"
    return f"{start.facts.method or start.facts.name or 'weights'}{style} (run {start.label})"


def shown(run: Run) -> str:
    """What of an image a run showed its network."""
    style = run.recipe.get("method.input", "full")
    return STYLES.get(style, style)


def frozen(run: Run) -> bool:
    """Whether the encoder kept its weights, which is linear evaluation of a classifier."""
    return run.recipe.get("method.freeze_encoder") == "true"


def by_input(arms: Sequence[Arm]) -> list[dict[str, Arm]]:
    """Arms of classifiers that differ in what they are shown and in nothing else, by that; those of which one is shown
    all but a box about the heart, whose score says what the others may owe to shortcuts."""
    groups: dict[Hashable, dict[str, Arm]] = {}
    for arm in arms:
        if arm.task.kind == "classification":
            others = tuple((key, value) for key, value in _choices(arm.runs[0]).items() if key not in INPUT)
            same = arm.task, arm.origin, arm.repeats, others
            groups.setdefault(same, {})[shown(arm.runs[0])] = arm
    return [group for group in groups.values() if STYLES["box"] in group]


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


def choices(run: Run, runs: Sequence[Run]) -> dict[str, str]:
    """What was chosen for a run and for what it started from: all but seeds, and places of data and weights."""
    start = source(run, runs)
    before = {f"pretraining {key}": value for key, value in _choices(start).items()} if start else {}
    return {**_choices(run), "init": "" if start else run.facts.init, **before}


def told_apart(names: Sequence[str], chosen: Sequence[Mapping[str, str]]) -> list[str]:
    """The names, those that are the same followed by the choices in which they differ."""
    found = []
    for name, own in zip(names, chosen, strict=True):
        alike = [other for other_name, other in zip(names, chosen, strict=True) if other_name == name]
        keys = [key for key in own if any(other.get(key) != own[key] for other in alike)]
        found.append(", ".join([name, *(f"{key} {own[key]}" for key in keys)]))
    return found


def _identity(run: Run, runs: Sequence[Run]) -> Hashable:
    """What the runs of an arm have in common: the task, the recipe, and the recipe of what they started from.

    Arms of a study stay apart where these come out the same, as when equal time is as many steps as equal images.
    """
    judged = run.judged
    return judged and (judged.task, cases(judged)), run.facts.planned, tuple(sorted(choices(run, runs).items()))


def _choices(run: Run) -> dict[str, str]:
    free = (*SEEDS, *PLACES, *run.facts.carried_out)
    return {key: SUBSET.sub("", value) for key, value in run.recipe.items() if key not in free}


def _labelled(arms: Sequence[Arm], runs: Sequence[Run]) -> list[Arm]:
    """Arms with names of their own."""
    studies = {run.facts.planned.partition("/")[0] for run in runs if run.facts.planned}
    labels = told_apart([_label(arm, len(studies) > 1) for arm in arms], [choices(arm.runs[0], runs) for arm in arms])
    return [replace(arm, label=label) for arm, label in zip(arms, labels, strict=True)]


def _label(arm: Arm, of_several: bool) -> str:
    """That of the study, with its name if there are several; else the run's own, or what several have in common."""
    first, *others = arm.runs
    if planned := first.facts.planned:
        return planned if of_several else planned.partition("/")[2] or planned
    if not others:
        return first.label
    parts = "" if arm.origin == SCRATCH or arm.task.kind != "segmentation" else _parts(first)
    ways = [f"shown {shown(first)}"] if shown(first) != STYLES["full"] else []
    ways += ["frozen encoder"] if frozen(first) else []
    begun = f"{arm.origin.partition(' (')[0]}{parts}"
    return ", ".join([begun, *ways, f"{arm.task.training_subjects} labelled", f"{len(arm.runs)} runs"])


def _parts(run: Run) -> str:
    """What was taken over, where that is not all there was."""
    taken = re.findall(r"\w+", run.recipe.get("init.parts", ""))
    return "" if not taken or "decoder" in taken else f" {' and '.join(taken)} only"


def _arm(group: Sequence[Run], runs: Sequence[Run]) -> Arm:
    first = group[0].judged
    results = [run.judged for run in group if run.judged is not None]
    assert first is not None  # noqa: S101 - only runs that were judged are grouped
    subjects = shared(results)
    return Arm(tuple(group), first.task, origin(group[0], runs), subjects, estimate(results, subjects))


def _paired(arm: Arm, others: Sequence[Arm]) -> Paired | None:
    """Against the arm from scratch of the same task that has a repeat in common and differs in fewest options."""
    if arm.origin == SCRATCH:
        return None
    partners = [
        (other, common)
        for other in others
        if other.origin == SCRATCH and other.task == arm.task and (common := _common(arm, other))
    ]
    if not partners:
        return None
    scratch, repeats = min(partners, key=lambda pair: len(_also_differs(arm, *pair)))
    ours, theirs = _of_repeats(arm, repeats), _of_repeats(scratch, repeats)
    subjects = shared([*ours, *theirs])
    if not subjects or not comparable(ours[0], theirs[0], subjects):
        return None
    found, also = difference(ours, theirs, subjects), _also_differs(arm, scratch, repeats)
    return Paired(**vars(found), scratch=scratch, repeats=repeats, also_differs=also)


def _common(arm: Arm, other: Arm) -> tuple[Repeat, ...]:
    return tuple(repeat for repeat in dict.fromkeys(arm.repeats) if repeat in other.repeats)


def _of_repeats(arm: Arm, repeats: Sequence[Repeat]) -> list[Judged]:
    """A result for each repeat."""
    by_repeat = {result.repeat: result for result in reversed(arm.results)}
    return [by_repeat[repeat] for repeat in repeats]


def _also_differs(arm: Arm, other: Arm, repeats: Sequence[Repeat]) -> tuple[str, ...]:
    """Recipe keys that tell two arms apart, besides what decides no result and where the weights come from."""
    pair = [
        next(run for run in each.runs if run.judged is not None and run.judged.repeat == repeats[0])
        for each in (arm, other)
    ]
    free = {*SEEDS, *PLACES, *(name for run in pair for name in run.facts.carried_out)}
    return tuple(key for key in differing_keys(pair) if key not in free and key[:5] != "init.")
