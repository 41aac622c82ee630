"""Charts as inline SVG whose colours are the page's own variables, so that they follow light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import scipy.linalg
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

HUES = 6
DASHES = ((None, None), (5.0, 2.0), (1.5, 1.5))
MARKERS = "os^DvPX*"
LONG = 24
"""Letters of a name beyond which a legend has no room for two side by side."""

# Colours no chart would choose by itself; each is replaced by a variable of the style sheet after drawing.
INK, MUTED, RULE = "#010203", "#010204", "#010205"
GREY = "#010206"
HUE = tuple(f"#0102{16 + place:02x}" for place in range(HUES))
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", GREY: "scratch"} | {c: f"hue{i}" for i, c in enumerate(HUE)}

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxssl",
    "text.parse_math": False,
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-5, 5),
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": INK,
    "legend.frameon": False,
    "legend.labelcolor": MUTED,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Style:
    """How one run looks in every chart: a place among the hues (-1 is grey) and among the dashes."""

    hue: int
    dash: int

    @property
    def colour(self) -> str:
        """The stand-in colour that becomes the page's variable."""
        return GREY if self.hue < 0 else HUE[self.hue]

    @property
    def dashes(self) -> str:
        """The dash pattern as SVG writes it."""
        on, off = DASHES[self.dash]
        return "" if on is None else f"{on:g} {off:g}"


@dataclass(frozen=True)
class Strip:
    """One line of a strip chart: a dot a subject, and their mean with an interval where one is known."""

    label: str
    values: np.ndarray
    mean: float
    low: float
    high: float
    style: Style


def curve_panel(
    lines: Sequence[tuple[Style, np.ndarray, np.ndarray]],
    quantity: str,
    from_zero: bool = False,
    level: float | None = None,
) -> str:
    """One quantity over the steps, a line a run; `from_zero` for quantities whose size itself matters, as speed, and a
    `level` to hold them against."""
    with mpl.rc_context(_SETTINGS):
        figure, axes = _panel((270, 190))
        drawn = [(style, *thinned(steps, values)) for style, steps, values in lines]
        for style, steps, values in drawn:
            lonely = "o" if np.isfinite(values).sum() == 1 else ""
            (line,) = axes.plot(steps, values, color=style.colour, linewidth=1.6, marker=lonely, markersize=4)
            line.set_dashes([part for part in DASHES[style.dash] if part is not None])
        if level is not None:
            axes.axhline(level, color=MUTED, linewidth=1, dashes=(3, 2))
        if from_zero:
            axes.set_ylim(bottom=0)
        elif _spans_decades(np.concatenate([values for *_, values in drawn])):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(quantity)
        axes.margins(x=0.02)
        return _svg(figure)


def _spans_decades(values: np.ndarray) -> bool:
    """Whether the bulk of positive values spreads over more than two decades, so that a linear axis would hide most."""
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() <= 0:
        return False
    low, high = np.quantile(finite, [0.1, 0.9])
    return bool(high > 100 * low)


def strip_chart(strips: Sequence[Strip], axis: str, zero: bool, width: int = 400) -> str:
    """Dots by subject on one line a run, the mean as a bar and its interval as a line; `zero` marks no difference."""
    height = 54 + 34 * len(strips)
    with mpl.rc_context(_SETTINGS):
        figure, axes = _panel((width, height))
        for place, strip in enumerate(strips):
            shift = 0.16 * np.cos(np.pi * np.arange(len(strip.values)))
            colour = strip.style.colour
            axes.plot(strip.values, place + shift, "o", color=colour, markersize=4.2, alpha=0.6, markeredgewidth=0)
            if np.isfinite(strip.low):
                axes.plot([strip.low, strip.high], [place, place], color=INK, linewidth=1.4)
            axes.plot([strip.mean], [place], "D", color=INK, markersize=5.5)
        if zero:
            axes.axvline(0.0, color=MUTED, linewidth=1.0, dashes=(3, 2))
        axes.set_yticks(range(len(strips)), [strip.label for strip in strips], color=INK)
        axes.set_ylim(len(strips) - 0.45, -0.55)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(axis)
        return _svg(figure)


def line_chart(
    lines: Sequence[tuple[str, Style, np.ndarray, np.ndarray]], across: str, up: str, diagonal: bool = False
) -> str:
    """Lines over the range 0 to 1 of both axes, missing values left out; on the `diagonal` both are equal."""
    columns = 1 if max(len(label) for label, *_ in lines) > LONG else 2
    rows = -(-len(lines) // columns)
    with mpl.rc_context(_SETTINGS):
        figure, axes = _panel((400, 270 + 18 * rows))
        if diagonal:
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, dashes=(3, 2))
        for label, style, x, y in lines:
            known = np.isfinite(x) & np.isfinite(y)
            look: dict[str, Any] = {"color": style.colour, "linewidth": 1.6, "marker": "o", "markersize": 4}
            (line,) = axes.plot(x[known], y[known], label=label, **look)
            line.set_dashes([part for part in DASHES[style.dash] if part is not None])
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        figure.legend(loc="outside lower center", ncols=columns, fontsize=10.5, columnspacing=1.2)
        return _svg(figure)


def gain_panel(
    points: Float[np.ndarray, "labels 4"],
    others: Sequence[Float[np.ndarray, "labels 4"]],
    style: Style,
    up: str,
    title: tuple[str, str],
) -> str:
    """One line against labelled subjects: rows of their number, the gain, and the ends of its interval.

    `others` lie behind it in grey and set the scale with it, so that panels side by side can be compared.
    """
    everything = np.concatenate([points, *others])
    with mpl.rc_context(_SETTINGS):
        figure, axes = _panel((270, 220))
        axes.axhline(0.0, color=MUTED, linewidth=1.0, dashes=(3, 2))
        for other in others:
            axes.plot(other[:, 0], other[:, 1], color=RULE, linewidth=1.2)
        known = points[np.isfinite(points).all(axis=1)]
        axes.vlines(known[:, 0], known[:, 2], known[:, 3], color=INK, linewidth=1.4)
        axes.plot(points[:, 0], points[:, 1], color=style.colour, linewidth=1.8, marker="o", markersize=4.5)
        numbers = np.unique(everything[:, 0])
        axes.set_xscale("log")
        axes.set_xticks(numbers, [f"{number:g}" for number in numbers])
        axes.set_xticks([], minor=True)
        axes.set_xlim(numbers[0] / 1.15, numbers[-1] * 1.15)
        axes.set_ylim(*_about(everything[:, 1:]))
        axes.yaxis.set_major_formatter("{x:+.3f}")
        axes.set_xlabel("labelled subjects")
        axes.set_ylabel(up)
        axes.set_title("\n".join(title))
        return _svg(figure)


def _about(values: np.ndarray) -> tuple[float, float]:
    """Limits about all finite values and 0, so wide that what is next to nothing looks so."""
    finite = np.append(values[np.isfinite(values)], (-0.01, 0.01))
    room = 0.06 * float(np.ptp(finite))
    return float(finite.min()) - room, float(finite.max()) + room


def principal_plane(
    embedding: Float[np.ndarray, "rows features"],
) -> tuple[Float[np.ndarray, "rows 2"], Float[np.ndarray, " 2"]]:
    """Scores on the first two principal components, and the share of the variance that each explains.

    X - mean(X) = U S V^T; scores are U S, shares S^2 / sum(S^2). The sign of a component is free: here its largest
    loading is positive.
    """
    centred = embedding.astype(np.float64) - embedding.mean(axis=0, dtype=np.float64)
    # All components of a wide embedding take seconds, and a page has a hundred of them.
    values, vectors = scipy.linalg.eigh(
        centred.T @ centred, subset_by_index=(centred.shape[1] - 2, centred.shape[1] - 1)
    )
    singular, right = np.sqrt(np.maximum(values[::-1], 0)), vectors.T[::-1]
    left = np.divide(centred @ right.T, singular, out=np.zeros((len(centred), 2)), where=singular > 0)
    sign = np.sign(right[np.arange(2), np.abs(right).argmax(axis=1)])
    shares = singular**2 / max(float(np.square(centred).sum()), np.finfo(np.float64).tiny)
    return left * singular * sign, shares


def scatter_panel(
    scores: Float[np.ndarray, "rows 2"],
    shares: Float[np.ndarray, " 2"],
    names: Sequence[str],
    title: str,
    size: tuple[int, int] = (340, 350),
) -> str:
    """The principal plane, a colour and a marker for each of the commonest names; the rest is grey."""
    labels = np.asarray(names)
    kinds, counts = np.unique(labels[labels != ""], return_counts=True)
    shown = sorted(kinds[np.argsort(-counts, kind="stable")][:HUES].tolist())
    with mpl.rc_context(_SETTINGS):
        figure, axes = _panel(size)
        rest = ~np.isin(labels, shown)
        if rest.any():
            text = "other" if len(kinds) > HUES else "not stated"
            axes.plot(*scores[rest].T, "o", color=GREY, markersize=3, alpha=0.4, markeredgewidth=0, label=text)
        for place, name in enumerate(shown):
            dots = scores[labels == name].T
            style = {"color": HUE[place], "markersize": 4.5, "alpha": 0.75, "markeredgewidth": 0}
            axes.plot(*dots, MARKERS[place], label=name, **style)
        for setter, place in ((axes.set_xlabel, 0), (axes.set_ylabel, 1)):
            setter(f"component {place + 1} ({100 * shares[place]:.0f}% of variance)")
        axes.tick_params(labelleft=False, labelbottom=False)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=3, fontsize=11, handletextpad=0.2, columnspacing=1.2)
        return _svg(figure)


def thinned(steps: np.ndarray, values: np.ndarray, most: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points: means over equal stretches of the log (a stretch holding a non-finite value is a gap)."""
    if len(steps) <= most:
        return steps, values
    stretches = np.array_split(np.arange(len(steps)), most)
    return np.array([steps[s].mean() for s in stretches]), np.array([values[s].mean() for s in stretches])


def _panel(size: tuple[int, int]) -> tuple[Figure, Axes]:
    """A figure of `size` CSS pixels: one point of the drawing is one pixel of the page."""
    figure = Figure(figsize=(size[0] / 72, size[1] / 72), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def _svg(figure: Figure) -> str:
    """The figure as an <svg> element in the page's colours and font; only the ids it refers to itself are kept.

    Such an id is a hash of what it names, so that the same id in two charts names the same thing.
    """
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans)", text)
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if f"#{found[1]}" in text else "", text)
    # A label may look like a colour; only those that stand for a variable are one.
    return re.sub("|".join(_VARIABLES), lambda found: f"var(--{_VARIABLES[found[0]]})", text)
