"""Parallel images of a subject put together as slices of one stack, each with its phases in time."""

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from jaxssl.data.study.loaded import Loaded
from jaxssl.data.study.phases import in_time
from jaxssl.data.study.sound import SAME_DEPTH
from jaxssl.data.study.words import view_in
from jaxssl.geometry import PARALLEL, TOWARDS_APEX, Plane, base_to_apex, normal, patient_point

NEAR_SHORT_AXIS = 0.8
"""Least product of the unit normal of a short-axis slice with the usual direction of the heart: 37 degrees."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices, each of images in time; along `normal` if they are `placed`, which asks where in the patient they lie."""

    slices: tuple[tuple[Loaded, ...], ...]
    placed: bool = False

    @property
    def first(self) -> Loaded:
        return self.slices[0][0]

    @property
    def told(self) -> str:
        """The view that the set says; else what the scanner's words say, which are no words for ultrasound."""
        return self.first.series.view or ("" if self.first.image.ultrasound else view_in(self.first.image.about))

    @functools.cached_property  # asked for each pair of stacks
    def normal(self) -> np.ndarray:
        """Unit normal of its planes, towards the apex of the heart."""
        return _across(self.first.plane)

    @property
    def short_axis(self) -> bool:
        """Whether its slices are taken in the way of a short axis."""
        return self.placed and bool(self.normal @ TOWARDS_APEX > NEAR_SHORT_AXIS * np.sqrt(3))

    @property
    def phases(self) -> int:
        return max(map(len, self.slices))

    def depths(self, direction: np.ndarray) -> np.ndarray:
        """Where its slices lie along a unit direction, in mm."""
        return np.array([images[0].plane.origin @ direction for images in self.slices])

    @property
    def centre(self) -> np.ndarray:
        """The middle of its images in the patient."""
        planes = [images[0].plane for images in self.slices]
        return np.mean([patient_point(p, *((np.asarray(p.shape) - 1) / 2)) for p in planes], axis=0)

    @property
    def rank(self) -> tuple:
        """Stacks of a view by this: cine first, then the one of more slices, then of more phases, then as files are."""
        first = self.first
        return self.phases == 1, -len(self.slices), -self.phases, first.series.files, first.place()


def stacks_of(images: Iterable[Loaded], misplaced: Collection[Loaded]) -> list[Stack]:
    """The stacks of each series of one study; of `misplaced` images the place is not asked for.

    Nothing is left out: what is found a second time at a depth is in a stack of its own.
    """
    series = defaultdict(list)
    for each in sorted(images, key=lambda each: (each.series.files, each.place())):
        series[each.series.files].append(each)
    parts = []
    for own in series.values():
        placed, others = [], []
        for each in own:
            known = each.image.plane is not None and each.series.placed and each not in misplaced
            (placed if known else others).append(each)
        for parallel in _orientations(placed):
            parts += _placed(parallel)
        for exposure in _exposures(others):
            parts += _takes(_told_slices(exposure))
    return parts


def in_order(stack: Stack) -> tuple[tuple[tuple[Loaded, ...], ...], bool]:
    """Its slices from base to apex, and whether they are: along the stack where neither set nor geometry tells."""
    ordered = stack.first.series.ordered
    if len(stack.slices) == 1:
        return stack.slices, True
    if ordered:
        return tuple(sorted(stack.slices, key=lambda images: min((i.series.files, i.place()) for i in images))), True
    order = None
    if ordered is None and stack.placed:
        order = base_to_apex([images[0].plane for images in stack.slices])
    return (stack.slices, False) if order is None else (tuple(stack.slices[i] for i in order), True)


def _orientations(images: Sequence[Loaded]) -> list[list[Loaded]]:
    """The images by the direction of their planes."""
    groups: list[list[Loaded]] = []
    directions = np.empty((0, 3))
    for each in images:
        across = normal(each.plane)
        same = np.flatnonzero(abs(directions @ across) > PARALLEL)
        if len(same):
            groups[same[0]].append(each)
        else:
            groups.append([each])
            directions = np.vstack([directions, across])
    return groups


def _placed(images: Sequence[Loaded]) -> list[Stack]:
    """The stacks of parallel images of a series: one, or more where its slices were taken more than once."""
    across = _across(images[0].plane)
    depths = {each: float(each.plane.origin @ across) for each in images}
    slices, last = [], -np.inf
    for each in sorted(images, key=lambda each: depths[each]):
        if depths[each] - last > SAME_DEPTH:
            slices.append([])
        slices[-1].append(each)
        last = depths[each]
    return _takes(slices, placed=True)


def _across(plane: Plane) -> np.ndarray:
    across = normal(plane)
    return across if across @ TOWARDS_APEX >= 0 else -across


def _exposures(images: Sequence[Loaded]) -> list[list[Loaded]]:
    """The images that belong to one stack: of ultrasound each file by itself, unless the set says which slices it has.

    What an examination with a probe leaves is a loose sequence of clips and stills.
    """
    files = defaultdict(list)
    for each in images:
        files[each.file if each.image.ultrasound and not each.series.slices else -1].append(each)
    return list(files.values())


def _told_slices(images: Sequence[Loaded]) -> list[list[Loaded]]:
    """The slices of images that nobody placed, as their files have them.

    The set may say which slice a file is. Else a file of several slices is a volume, and such files follow each other
    in time; a file of several frames is a slice. Files of one image are slices where the set says that they are in
    order, or that they have no place and are of no cardiac moment, else frames: those of one depth of the same slice.
    """
    series = images[0].series
    by_file = (
        any(each.image.frame for each in images) or series.ordered is not None or not (series.placed or series.moments)
    )
    volumes = any(each.image.slice for each in images)
    slices = defaultdict(list)
    for each in images:
        own = 0 if volumes else each.file if by_file else each.image.depth or 0
        slices[series.slices.get(each.file, own), each.image.slice].append(each)
    return [slices[place] for place in sorted(slices)]


def _takes(slices: Sequence[Sequence[Loaded]], placed: bool = False) -> list[Stack]:
    """One stack of the first take of each slice, one of the second takes of those that have one, and so on."""
    takes = zip_longest(*map(in_time, slices))
    return [Stack(tuple(tuple(images) for images in take if images), placed) for take in takes]
