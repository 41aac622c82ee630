"""The figures of `jaxssl bench`: what one device of several does and holds; where the time of a step goes."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from jaxssl.bench.program import COLLECTIVES
from jaxssl.bench.scale import Row

PROGRAMS = ("#1b6ca8", "#d1495b", "#2e8b57")
WIDTHS = (6, 2, 2)
"""Where two programs do the same, the first line can be seen under the next."""
KINDS = dict(zip(COLLECTIVES, ("#30638e", "#edae49", "#66a182", "#8d6a9f", "#9a9a9a"), strict=True))
GREY, RULE = "#6b6b6b", "#e4e4e4"
SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
}


def draw(rows: Sequence[Row], title: str) -> Figure:
    """Work, memory and communication of one device over the number of devices."""
    programs = {name: list(own) for name, own in groupby(rows, key=lambda row: row.program)}
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(10, 7), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        above: list[Any] = [name for name in ("work", "memory") for _ in programs]
        below: list[Any] = [name for name in programs for _ in range(2)]
        panels = figure.subplot_mosaic([above, below])
        _work(panels["work"], programs)
        _memory(panels["memory"], programs)
        for (name, own), colour in zip(programs.items(), PROGRAMS, strict=True):
            _exchanges(panels[name], own)
            panels[name].set_title(f"Exchanged: {name}", color=colour)
    return figure


def draw_shares(shares: Mapping[str, float], title: str) -> Figure:
    """The parts of a step as pieces of one bar."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(8, 1.8), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_title(title, fontsize=10, fontweight="bold")
        begin = 0.0
        for (name, share), colour in zip(shares.items(), KINDS.values(), strict=False):
            axes.barh(0, 100 * share, left=begin, color=colour, label=f"{name} {share:.0%}")
            begin += 100 * share
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the time of a step")
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.legend(ncols=len(shares), loc="upper center", bbox_to_anchor=(0.5, -0.45), frameon=False)
    return figure


def readable(number: float, unit: str) -> str:
    """Three digits and a prefix: 37.2 G, 1.34 MB; thousands and not 1,024, as FLOPs have it."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {prefix}{unit}"
    return f"{number:.3g} {unit}"


def _work(axes: Axes, programs: dict[str, list[Row]]) -> None:
    for (name, own), colour, width in zip(programs.items(), PROGRAMS, WIDTHS, strict=True):
        devices = [row.devices for row in own]
        axes.plot(devices, [own[0].flops / n for n in devices], ":", color=GREY, linewidth=1)
        axes.plot(devices, [row.flops for row in own], "o-", color=colour, label=name, linewidth=width, alpha=0.8)
    axes.plot([], [], ":", color=GREY, linewidth=1, label="divided evenly")
    _logarithmic(axes, [row.devices for row in own], "FLOP")
    axes.set_title("Work of one device")


def _memory(axes: Axes, programs: dict[str, list[Row]]) -> None:
    for own, colour, width in zip(programs.values(), PROGRAMS, WIDTHS, strict=True):
        devices = [row.devices for row in own]
        axes.plot(devices, [row.temporary for row in own], "o--", color=colour, linewidth=width, mfc="white")
        if own[0].state:
            axes.plot(devices, [row.state for row in own], "s-", color=colour)
    axes.plot([], [], "s-", color=GREY, label="state, kept from step to step")
    axes.plot([], [], "o--", color=GREY, mfc="white", label="needed meanwhile")
    _logarithmic(axes, [row.devices for row in own], "B")
    axes.set_title("Memory of one device")


def _logarithmic(axes: Axes, devices: list[int], unit: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel="devices")
    axes.set_xticks(devices, map(str, devices))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: readable(value, unit))
    axes.grid(color=RULE, linewidth=0.6)
    axes.legend(frameon=False, fontsize=8)


def _exchanges(axes: Axes, rows: Sequence[Row]) -> None:
    """A stack of the kinds of collectives for each number of devices."""
    base = [0] * len(rows)
    for kind in COLLECTIVES:
        sizes = [row.collectives[kind].bytes if kind in row.collectives else 0 for row in rows]
        if any(sizes):
            axes.bar([str(row.devices) for row in rows], sizes, 0.6, base, color=KINDS[kind], label=kind)
        base = [below + size for below, size in zip(base, sizes, strict=True)]
    axes.set(xlabel="devices", ylim=(0, 1.35 * max(*base, 1)))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda value, _: readable(value, "B"))
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
