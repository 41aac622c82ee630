"""Where the long axis of the heart runs, as the planes that a technician laid along and across it tell."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxssl.data.study.stacks import NEAR_SHORT_AXIS, Stack
from jaxssl.geometry import TOWARDS_APEX

TYPICAL = TOWARDS_APEX / np.linalg.norm(TOWARDS_APEX)

MANY = 3
"""Slices that make a short-axis stack; and planes of which a study without one may well name itself by words."""

ALONG = 0.45
"""Largest product of the normal of a long-axis plane with the long axis: 27 degrees."""

SCOUT = 0.9998
"""Planes whose normal is this near to an axis of the patient (1 degree) were not laid by the heart."""

THROUGH = 10.0
"""Planes that pass the long axis of the left ventricle within this many mm go through it."""

STRAY = 20.0
"""How far from the middle of the short-axis images (mm) the long axis may be for one more plane to go through it."""

SURE = 1.0
"""A single plane through the axis weighs less, so that it takes two which meet near the middle, or more further off."""

SPREAD = 0.5
"""Least product of two normals with each other's plane, from which a line where both planes meet is taken."""

ENOUGH, SAME = 40, 0.01
"""Long-axis planes of which each two are looked at, cines first; planes that differ by less (mm) are one of them."""


class Axis(NamedTuple):
    """The long axis of a left ventricle, from base to apex."""

    direction: np.ndarray
    point: np.ndarray | None = None
    """On it; none where there is no short-axis stack, whose direction would be known."""
    sure: bool = False
    """Whether planes that meet in the point show it, rather than the middle of the images being taken for it."""


def axis_of(stacks: Sequence[Stack]) -> Axis:
    """The long axis: across the largest short-axis stack; else where long-axis planes meet; else the usual one."""
    placed = [stack for stack in stacks if stack.placed]
    short = [stack for stack in placed if _is_short_axis(stack)]
    if not short:
        return Axis(_common(placed))
    stack = max(short, key=lambda stack: len(stack.slices))
    # Where an image ends is not known without its spacing, nor is its middle then.
    return _through(stack, [other for other in placed if is_along(other, stack.normal) and other.first.sized])


def _is_short_axis(stack: Stack) -> bool:
    view = stack.first.series.view
    return view == "sax" or (not view and stack.short_axis and len(stack.slices) >= MANY)


def is_along(stack: Stack, direction: np.ndarray) -> bool:
    """Whether its planes contain the long axis, or nearly, and were laid by the heart."""
    return bool(abs(stack.normal @ direction) < ALONG and np.max(abs(stack.normal)) < SCOUT)


def _common(placed: Sequence[Stack]) -> np.ndarray:
    """The direction in which single planes that may be long-axis views meet."""
    normals = np.array([s.normal for s in placed if is_along(s, TYPICAL) and len(s.slices) < MANY]).reshape(-1, 3)
    _, extent, directions = np.linalg.svd(normals, full_matrices=True)
    if len(extent) < 2 or extent[1] < SPREAD:
        return TYPICAL
    direction = directions[2] * (np.sign(directions[2] @ TYPICAL) or 1)
    return direction if direction @ TYPICAL > NEAR_SHORT_AXIS else TYPICAL


def _through(short: Stack, long: Sequence[Stack]) -> Axis:
    """The axis through the point, at the height of the middle of the stack, by which most long-axis planes pass.

    Right-ventricular planes pass by it; a point where they happen to meet others lies far from the middle.
    """
    direction, centre = short.normal, short.centre
    across = np.linalg.svd(direction[None])[2][1:]
    slopes = np.array([across @ stack.normal for stack in long]).reshape(-1, 2)
    offsets = np.array([(stack.centre - centre) @ stack.normal for stack in long])
    own = _different(np.column_stack([slopes, offsets]))[:ENOUGH]
    slopes, offsets = slopes[own], offsets[own]
    points = [np.zeros(2)]
    for pair in map(list, itertools.combinations(range(len(own)), 2)):
        if abs(np.linalg.det(slopes[pair])) > SPREAD:
            points.append(np.linalg.solve(slopes[pair], offsets[pair]))
    distances = abs(np.array(points) @ slopes.T - offsets)
    near = np.clip(1 - distances / THROUGH, 0, None).sum(1) - np.linalg.norm(points, axis=1) / STRAY
    best = int(np.argmax(near))
    return Axis(direction, centre + points[best] @ across, bool(near[best] > SURE))


def _different(planes: np.ndarray) -> np.ndarray:
    """The first of each that are the same: a view that was taken twice is no other plane through the axis."""
    if not len(planes):
        return np.arange(0)
    return np.sort(np.unique(np.round(planes / SAME), axis=0, return_index=True)[1])
