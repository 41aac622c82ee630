"""What the page draws of numbers: curves, strips, profiles and calibration; chosen and put in order, no markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxssl.reporting import figures, tables
from jaxssl.reporting.arms import Arm, source
from jaxssl.reporting.figures import Strip, Style
from jaxssl.reporting.read import Run, Series
from jaxssl.reporting.scores import dice_table

CHANCE = "probe/chance"
PROBED = ("probe/knn", "probe/linear")
AXES = {
    "loss": "loss",
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm (L2)",
    "images_per_second": "throughput (images/s)",
    "data_wait": "waiting for data (% of time)",
    "probe/knn": "online kNN (accuracy)",
    "probe/linear": "online linear probe (accuracy)",
    CHANCE: "one answer for all at most",
}
FIRST = ("loss", *PROBED, "learning_rate", "gradient_norm")
FROM_ZERO = ("images_per_second", "data_wait", *PROBED)
MOST_PANELS = 12


@dataclass(frozen=True)
class Curves:
    """The panels of one verb and the runs drawn in them."""

    verb: str
    runs: tuple[Run, ...]
    panels: tuple[tuple[str, str], ...]
    constant: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    chance: float | None = None
    """What one answer for all would have, drawn beside the online probes."""


def styles(runs: Sequence[Run]) -> dict[str, Style]:
    """A hue for each pretraining and everything that started from it, grey for random starts; dashes within a hue."""
    hues: dict[str, int] = {}
    used: dict[tuple[str, int], int] = {}
    chosen = {}
    for run in runs:
        start = source(run, runs)
        arm = start.label if start else run.facts.init or (run.label if run.facts.verb == "pretrain" else "")
        hue = hues.setdefault(arm, len(hues) % figures.HUES) if arm else -1
        place = used.setdefault((run.facts.verb, hue), 0)
        used[run.facts.verb, hue] += 1
        chosen[run.label] = Style(hue, place % len(figures.DASHES))
    return chosen


def curves(runs: Sequence[Run], look: dict[str, Style]) -> list[Curves]:
    """For each verb the loss (a panel a method), learning rate, gradient norm and whatever else was not constant; names
    of what there is no room for."""
    found = []
    for verb, group in _by_verb(runs):
        names = {name for run in group for name in run.metrics}
        constant = {name: value for name in sorted(names - set(FIRST)) if (value := _constant(group, name)) is not None}
        order = [name for name in FIRST if name in names] + sorted(names - set(FIRST) - set(constant))
        panels = []
        for name in order:
            methods = list(dict.fromkeys(run.facts.method for run in group)) if name == "loss" else [None]
            for method in methods:
                part = [(run, run.metrics) for run in group if method in (None, run.facts.method)]
                panels += _panel(part, name, f" of {method}" if method and len(methods) > 1 else "", look)
        if panels:
            drawn = tuple(run for run in group if run.metrics)
            chance = _chance(group)
            untold = {name: value for name, value in constant.items() if name != CHANCE or chance is None}
            said = tuple(f"{_quantity(name)} ({value:g})" for name, value in untold.items())
            left_out = tuple(name for name, _ in panels[MOST_PANELS:])
            found.append(Curves(verb, drawn, tuple(panels[:MOST_PANELS]), said, left_out, _gaps(group), chance))
    return found


def throughput(runs: Sequence[Run], look: dict[str, Style]) -> list[Curves]:
    """For each verb the images a second and the share of time spent waiting for data."""
    found = []
    for verb, group in _by_verb(runs):
        logged = [(run, {**run.timing, "data_wait": _percent(run.timing)}) for run in group if run.timing]
        panels = [panel for name in ("images_per_second", "data_wait") for panel in _panel(logged, name, "", look)]
        if panels:
            found.append(Curves(verb, tuple(run for run, _ in logged), tuple(panels)))
    return found


def strips(arms: Sequence[Arm], look: dict[str, Style]) -> list[tuple[str, str]]:
    """Dice by subject for every arm of segmentations, and the paired differences of those that have any."""
    arms = [arm for arm in arms if arm.task.kind == "segmentation"]
    dots = [
        Strip(
            arm.label,
            dice_table(arm.results, arm.subjects).mean(axis=1),
            arm.estimate.value,
            *arm.estimate.interval,
            look[arm.runs[0].label],
        )
        for arm in arms
    ]
    paired = [
        Strip(arm.label, each.differences, each.estimate.value, *each.estimate.interval, look[arm.runs[0].label])
        for arm in arms
        if (each := arm.paired)
    ]
    charts = [("Dice by subject", figures.strip_chart(dots, "mean Dice of a subject", zero=False))] if dots else []
    if paired:
        chart = figures.strip_chart(paired, "Dice minus scratch, same subject", zero=True)
        charts.append(("Difference from scratch by subject", chart))
    return charts


def profiles(arms: Sequence[Arm], look: dict[str, Style]) -> str:
    """Dice against the place between base and apex; nothing where no place is known."""
    known = [(arm, line) for arm in arms if arm.task.kind == "segmentation" and (line := tables.profile(arm))]
    lines = [(arm.label, look[arm.runs[0].label], *line) for arm, line in known]
    return (
        figures.line_chart(lines, "place of the slice, from base (0) to apex (1)", "Dice of a slice") if lines else ""
    )


def calibrations(arms: Sequence[Arm], look: dict[str, Style]) -> str:
    """How often answers are right against how sure they are."""
    found = [(arm, tables.calibration(arm)) for arm in arms if arm.task.kind == "classification"]
    lines = [(arm.label, look[arm.runs[0].label], bins.confidence, bins.accuracy) for arm, bins in found]
    return (
        figures.line_chart(lines, "probability of the answer", "share of right answers", diagonal=True) if lines else ""
    )


def _by_verb(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Runs by what they did, pretraining first."""
    verbs = sorted(dict.fromkeys(run.facts.verb for run in runs), key=lambda verb: verb != "pretrain")
    return [(verb, [run for run in runs if run.facts.verb == verb]) for verb in verbs]


def _constant(group: Sequence[Run], name: str) -> float | None:
    """The one value that a quantity had throughout all runs; none when it moved."""
    logged = [run.metrics[name][1] for run in group if name in run.metrics]
    values = np.unique(np.concatenate(logged)) if logged else np.empty(0)
    return float(values[0]) if len(values) == 1 and np.isfinite(values[0]) else None


def _panel(
    logged: Sequence[tuple[Run, Series]], name: str, suffix: str, look: dict[str, Style]
) -> list[tuple[str, str]]:
    lines = [(look[run.label], *series[name]) for run, series in logged if name in series and len(series[name][0])]
    quantity = _quantity(name) + suffix
    level = _chance([run for run, _ in logged]) if name in PROBED else None
    return [(quantity, figures.curve_panel(lines, quantity, name in FROM_ZERO, level))] if lines else []


def _chance(group: Sequence[Run]) -> float | None:
    """What one answer for all would have in every run that was probed; none where that differs, or is not known."""
    probed = [run for run in group if any(name in run.metrics for name in PROBED)]
    return _constant(probed, CHANCE) if all(CHANCE in run.metrics for run in probed) else None


def _quantity(name: str) -> str:
    return AXES.get(name, name.replace("_", " "))


def _percent(timing: Series) -> tuple[np.ndarray, np.ndarray]:
    steps, waits = timing.get("data_wait", (np.array([]), np.array([])))
    return steps, 100 * waits


def _gaps(group: Sequence[Run]) -> tuple[str, ...]:
    counts = [
        (run.label, name, int((~np.isfinite(values)).sum()))
        for run in group
        for name, (_, values) in run.metrics.items()
    ]
    return tuple(f"{label}: {count} non-finite value(s) of {name}" for label, name, count in counts if count)
