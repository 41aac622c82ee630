"""Which views of the heart the stacks of a study are, by how their planes lie to each other and in the patient.

The short-axis stack gives the long axis of the heart; a plane that contains it is named by its angle round it. What the
scanner's words say decides where the planes leave a choice.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from jaxssl.data.study.axis import MANY, Axis, axis_of, is_along
from jaxssl.data.study.stacks import Stack

OTHER = "other"

ANGLES = {"4ch": -10.0, "3ch": 47.0, "2ch": 107.0}
"""Degrees round the long axis at which the views cut the heart: 0 is the patient's right, 90 in front and above.

The four-chamber view runs through both ventricles, the two-chamber view through the anterior and the inferior wall, the
three-chamber view through the outflow tract, in front and right. Measured on one real study (-8, 51 and 114) and on 120
phantoms, whose views lie within 30 degrees of these: 5 to 8 in the median.
"""

BETWEEN = 10.0
"""Degrees about the border of two views within which words choose."""

SURE = 0.3
"""Planes whose normal has a larger product with the long axis (17 degrees) are named by words, if there are any."""

ACROSS = 0.97
"""Least product of the normal of a single slice with the long axis for it to be one of the short axis: 14 degrees."""

BESIDE, FAR_BESIDE = 15.0, 30.0
"""Planes that pass the long axis of the left ventricle this far (mm) to the right show the right one; the larger where
only the middle of the images says where that axis is."""

SAGITTAL = 0.96
"""The outflow of the right ventricle is seen from the side (0.99 in one real study), its two chambers along the septum
(0.65), where the words name neither view."""

RADIAL = 4
"""So many long-axis planes in one series turn about the axis in steps; three are the usual views."""


def views_of(stacks: Sequence[Stack]) -> list[str]:
    """The view of each stack of one study."""
    axis = axis_of(stacks)
    views = [_view(stack, axis) for stack in stacks]
    turning = defaultdict(list)
    for place, stack in enumerate(stacks):
        if views[place] in ANGLES and stack.placed and not stack.first.series.view:
            turning[stack.first.series.files].append(place)
    for places in turning.values():
        if len(places) >= RADIAL:
            # Of a radial set only the planes nearest to the usual ones bear their names.
            nearest = {min(places, key=lambda i: _apart(_angle(stacks[i], axis), view)) for view in ANGLES}
            for place in set(places) - nearest:
                views[place] = OTHER
    return views


def _view(stack: Stack, axis: Axis) -> str:
    told = stack.told
    if stack.first.series.view or not stack.placed:
        return told or OTHER
    across = abs(float(stack.normal @ axis.direction))
    known = axis.point is not None
    if (stack.short_axis and len(stack.slices) >= MANY) or (known and across > ACROSS):
        return "sax"
    if not is_along(stack, axis.direction) or (not known and len(stack.slices) > MANY):
        return told or OTHER
    if told and (across > SURE or not known):
        return told
    return _long_axis(stack, axis, told)


def _long_axis(stack: Stack, axis: Axis, told: str) -> str:
    """The view of a plane that contains the direction of the long axis."""
    angle = _angle(stack, axis)
    first, second, _ = sorted(ANGLES, key=lambda view: _apart(angle, view))
    if first != "4ch" and axis.point is not None:
        beside = _to_the_right(stack, axis.direction, axis.point)
        of_right = told in ("rvot", "rv2ch")
        if beside > (BESIDE if axis.sure else FAR_BESIDE) or (of_right and not axis.sure):
            return told if of_right else "rvot" if abs(stack.normal[0]) > SAGITTAL else "rv2ch"
    undecided = _apart(angle, second) - _apart(angle, first) < 2 * BETWEEN
    return second if undecided and told == second else first


def _round(direction: np.ndarray) -> np.ndarray:
    """Unit vectors across the axis: to the right, and in front and above."""
    right = np.array([-1.0, 0.0, 0.0])
    right = right - (right @ direction) * direction
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(right, direction)])


def _angle(stack: Stack, axis: Axis) -> float:
    right, front = _round(axis.direction) @ np.cross(stack.normal, axis.direction)
    return float(np.degrees(np.arctan2(front, right)))


def _apart(angle: float, view: str) -> float:
    """Degrees between planes, which are the same after half a turn."""
    return abs((angle - ANGLES[view] + 90) % 180 - 90)


def _to_the_right(stack: Stack, direction: np.ndarray, point: np.ndarray) -> float:
    """How far from the long axis a plane passes, in mm; negative on the left."""
    towards = stack.normal * np.sign(stack.normal @ _round(direction)[0])
    return float((stack.centre - point) @ towards)
