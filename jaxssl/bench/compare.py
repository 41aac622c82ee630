"""What several sides took for the same work: medians, spreads and ratios, and whether their results are the same."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from jaxssl.bench.sides import OURS, Turn, ratio


def summed_up(measured: Iterable[tuple[str, int, Turn]], work: float = 1) -> dict[str, dict[str, Any]]:
    """Of each side: seconds for one of `work` pieces that a turn counts, memory, and its ratios to ours.

    Ratios are medians of those within a round; memory is the most of all rounds, first runs and compilation included.
    """
    turns: dict[str, list[Turn]] = {}
    for name, _, turn in measured:
        turns.setdefault(name, []).append(turn)
    return {name: _of_side(own, turns[OURS], work) for name, own in turns.items()}


def _of_side(own: Sequence[Turn], ours: Sequence[Turn], work: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for what in ("wall", "cpu"):
        seconds = [getattr(turn, what) / work for turn in own]
        found |= {what: median(seconds), f"{what}_least": min(seconds), f"{what}_most": max(seconds)}
        found[f"{what}_ratio"] = ratio(own, ours, what)
    memory, of_ours = ([turn.memory for turn in turns if turn.memory is not None] for turns in (own, ours))
    found["memory"] = max(memory, default=None)
    found["memory_ratio"] = max(memory) / max(of_ours) if memory and of_ours and max(of_ours) else None
    found["turns"] = len(own)
    return found


def refuse_unlike(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """Why two sides, by what they say of themselves, cannot be compared; none where they can."""
    for what in ("platform", "threads"):
        if ours[what] != theirs[what]:
            return f"{what} of jaxssl: {ours[what]}, of torch: {theirs[what]}"
    return None


def unlike(name: str, ours: np.ndarray, theirs: np.ndarray, bound: float) -> str | None:
    """Why two results are not the same, if they are not: where they differ by more than a share of the largest."""
    if ours.shape != theirs.shape:
        return f"{name} is {theirs.shape} there and {ours.shape} here"
    largest = float(np.abs(ours).max())
    difference = float(np.abs(ours - theirs).max())
    if difference <= bound * largest:
        return None
    return f"{name} differs by {difference:.2g} where it is {largest:.2g} at most (allowed: {bound:.0e} of that)"
