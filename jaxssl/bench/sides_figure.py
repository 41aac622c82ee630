"""The figure of a comparison: time and memory of each side as bars."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxssl.bench.figure import PROGRAMS, RULE, SETTINGS, readable

OURS_COLOUR, THEIRS_COLOUR = PROGRAMS[:2]


def draw_sides(sides: Mapping[str, Mapping[str, Any]], title: str, what: str) -> Figure:
    """A bar each for the CPU seconds of `what`, from the least to the most of all rounds, and one for the memory."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(9, 1.4 + 0.45 * len(sides)), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        time, memory = figure.subplots(1, 2, sharey=True)
        low, high = ([abs(own[f"cpu_{end}"] - own["cpu"]) for own in sides.values()] for end in ("least", "most"))
        _bars(time, sides, [own["cpu"] for own in sides.values()], "s", [low, high])
        time.set_xlabel(f"CPU seconds of {what}; lines: least and most")
        _bars(memory, sides, [own["memory"] or 0 for own in sides.values()], "B")
        memory.set_xlabel("memory above idle, at most")
    return figure


def draw_parts(parts: Mapping[str, float], title: str) -> Figure:
    """A bar for each small share of the time of training; the axis ends where they do."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(8, 1.1 + 0.4 * len(parts)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_title(title, fontsize=10, fontweight="bold")
        bars = axes.barh(list(parts), [100 * share for share in parts.values()], color=OURS_COLOUR)
        axes.bar_label(bars, [f"{share:.2%}" for share in parts.values()], padding=3)
        axes.margins(x=0.12)
        axes.invert_yaxis()
        axes.set_xlabel("% of the time of training")
    return figure


def _bars(
    axes: Axes, names: Mapping[str, Any], values: list[float], unit: str, spread: list[list[float]] | None = None
) -> None:
    colours = [THEIRS_COLOUR if number else OURS_COLOUR for number in range(len(values))]
    axes.barh(list(names), values, color=colours, xerr=spread, error_kw={"elinewidth": 1, "capsize": 2})
    if not axes.yaxis_inverted():  # the two share it
        axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda value, _: small(value) if unit == "s" else readable(value, unit))
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def small(seconds: float) -> str:
    """Three digits: 1.28 s, 35.1 ms, 410 µs."""
    for size, prefix in ((1, ""), (1e-3, "m"), (1e-6, "µ")):
        if seconds >= size:
            return f"{seconds / size:.3g} {prefix}s"
    return f"{seconds * 1e9:.3g} ns" if seconds else "0"
