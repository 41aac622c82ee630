"""What each pretraining gains over a random start, against the number of labelled subjects, beside what it cost."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxssl.reporting import figures
from jaxssl.reporting.arms import Arm, choices, source, told_apart
from jaxssl.reporting.cost import Cost, cost
from jaxssl.reporting.figures import Style
from jaxssl.reporting.read import Run
from jaxssl.reporting.results import Task
from jaxssl.reporting.words import duration, thousands

Tables = Mapping[str, Collection[Path]]
"""By caption the folders of the runs that stand in a table."""
SIZE = "data.subjects"
"""The option in which the arms of one line differ."""


@dataclass(frozen=True)
class Line:
    """The arms that started from one pretraining and differ in their labelled subjects alone."""

    name: str
    by_labels: Mapping[int, Arm]
    cost: Cost
    start: Run | None

    @property
    def run(self) -> Run:
        """Whose look it has in figures."""
        return self.start or next(iter(self.by_labels.values())).runs[0]


@dataclass(frozen=True)
class Gains:
    """A table and its figure."""

    caption: str
    task: Task
    labels: tuple[int, ...]
    lines: tuple[Line, ...]
    panels: tuple[tuple[str, str], ...]


def gains(runs: Sequence[Run], arms: Sequence[Arm], look: Mapping[str, Style], tables: Tables) -> list[Gains]:
    """The tables that are asked for; else one of each task, of lines with two and more numbers of labelled subjects."""
    by_task: dict[Task, list[Arm]] = {}
    for arm in arms:
        if arm.paired is not None:
            by_task.setdefault(arm.task._replace(training_subjects=0), []).append(arm)
    found = []
    for task, group in by_task.items():
        for caption, folders in tables.items():
            kept = {folder.resolve() for folder in folders}
            own = [arm for arm in group if all(run.folder.resolve() in kept for run in arm.runs)]
            found.append(_gains(caption, task, _lines(own, runs), look))
        if not tables:
            long = [line for line in _lines(group, runs) if len(line.by_labels) > 1]
            found.append(_gains("", task, long, look))
    return [each for each in found if each.lines]


def _lines(arms: Sequence[Arm], runs: Sequence[Run]) -> list[Line]:
    groups: dict[Hashable, list[Arm]] = {}
    for arm in arms:
        groups.setdefault(tuple(sorted(_said(arm, runs).items())), []).append(arm)
    whole = [part for group in groups.values() for part in _by_start(group, runs)]
    first = [group[0] for group in whole]
    names = told_apart([arm.origin.partition(" (")[0] for arm in first], [_said(arm, runs) for arm in first])
    return [_line(name, group, runs) for name, group in zip(names, whole, strict=True)]


def _by_start(arms: Sequence[Arm], runs: Sequence[Run]) -> list[list[Arm]]:
    """Arms that are alike as one line; as several where two have one size, as when equal time is as many steps."""
    if len({arm.task.training_subjects for arm in arms}) == len(arms):
        return [list(arms)]
    groups: dict[Hashable, list[Arm]] = {}
    for arm in arms:
        start = source(arm.runs[0], runs)
        groups.setdefault((start and start.folder, arm.runs[0].facts.planned.partition("/")[0]), []).append(arm)
    return list(groups.values())


def _said(arm: Arm, runs: Sequence[Run]) -> dict[str, str]:
    """All that decides the arm, but for the number of its labelled subjects."""
    return {name: value for name, value in choices(arm.runs[0], runs).items() if name != SIZE}


def _line(name: str, arms: Sequence[Arm], runs: Sequence[Run]) -> Line:
    start = source(arms[0].runs[0], runs)
    ordered = sorted(arms, key=lambda arm: arm.task.training_subjects)
    by_labels = {arm.task.training_subjects: arm for arm in ordered}
    return Line(name, by_labels, cost(start) if start else Cost(), start)


def _gains(caption: str, task: Task, lines: Sequence[Line], look: Mapping[str, Style]) -> Gains:
    labels = tuple(sorted({labels for line in lines for labels in line.by_labels}))
    return Gains(caption, task, labels, tuple(lines), _panels(task, lines, look))


def _panels(task: Task, lines: Sequence[Line], look: Mapping[str, Style]) -> tuple[tuple[str, str], ...]:
    """A panel a line, all of one scale; nothing where there is one number of labelled subjects only."""
    drawn = [(line, _points(line)) for line in lines if len(line.by_labels) > 1]
    return tuple(
        (
            f"Gain of {line.name} against labelled subjects",
            figures.gain_panel(
                points,
                [other for _, other in drawn if other is not points],
                look[line.run.label],
                f"{task.measure} minus scratch",
                (line.name, _in_words(line.cost)),
            ),
        )
        for line, points in drawn
    )


def _points(line: Line) -> np.ndarray:
    """[labels, 4]: their number, the gain, and its interval."""
    found = {labels: arm.paired.estimate for labels, arm in line.by_labels.items() if arm.paired is not None}
    return np.array([(labels, each.value, *each.interval) for labels, each in found.items()])


def _in_words(spent: Cost) -> str:
    if not np.isfinite(spent.images):
        return "cost not known"
    return f"{thousands(spent.images)} images, {duration(spent.seconds)}"
