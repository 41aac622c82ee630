"""Short-axis slices that came in several series, as some scanners give them, made one stack."""

from collections.abc import Iterable

import numpy as np

from jaxssl.data.study.stacks import Stack
from jaxssl.data.study.words import stem
from jaxssl.geometry import PARALLEL

SAME_SLICE = 1.0
"""Slices of several series that are nearer than this (mm), or than half their thickness, are one slice taken twice."""

SAME_SPACING = 0.01
"""Largest relative difference between the spacings of the slices of a stack."""


def joined(parts: Iterable[Stack]) -> list[Stack]:
    """The stacks of a study, by rank, short-axis slices together that are of one kind and in different places.

    Other views are single planes as a rule, and parallel ones may be different views. A slice that was taken again
    stays a stack of its own, beside the one of more slices, or of more phases.
    """
    stacks: list[Stack] = []
    for part in sorted(parts, key=lambda stack: stack.rank):
        place = next((place for place, stack in enumerate(stacks) if _fit(stack, part)), None)
        if place is None:
            stacks.append(part)
        else:
            stacks[place] = _together(stacks[place], part)
    return sorted(stacks, key=lambda stack: stack.rank)


def _together(stack: Stack, part: Stack) -> Stack:
    slices = stack.slices + part.slices
    depths = [*stack.depths(stack.normal), *part.depths(stack.normal)]
    return Stack(tuple(slices[i] for i in np.argsort(depths)), placed=True)


def _fit(stack: Stack, part: Stack) -> bool:
    if not (stack.placed and part.placed) or abs(stack.normal @ part.normal) <= PARALLEL:
        return False
    if not (part.short_axis or stack.told == part.told == "sax"):
        return False
    if _kind(stack) != _kind(part):
        return False
    one, other = stack.first, part.first
    apart = np.min(abs(np.subtract.outer(stack.depths(stack.normal), part.depths(stack.normal))))
    same_grid = np.allclose(one.plane.spacing, other.plane.spacing, rtol=SAME_SPACING, atol=0, equal_nan=True)
    return same_grid and bool(apart >= max(SAME_SLICE, (other.image.thickness or 0) / 2))


def _kind(stack: Stack) -> tuple:
    """What slices of one stack have in common: a cine and a still image of the same heart are two stacks."""
    series = stack.first.series
    return series.view, series.ordered, stem(stack.first.image.about), stack.phases > 1
