"""Images of phantom hearts as scanners give them: planes in the patient, pixels of no weight."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxssl.data.formats.image import Image
from jaxssl.data.phantom.population import draw_subject
from jaxssl.data.phantom.prescription import VIEWS, prescribe
from jaxssl.data.study import Loaded, Placed
from jaxssl.data.subject import Series
from jaxssl.geometry import Plane


def pixels(shape: Sequence[int]) -> np.ndarray:
    """Of any shape, in one byte."""
    return np.broadcast_to(np.uint8(0), (*(int(n) for n in shape), 1))


def image(plane: Plane | None, shape: Sequence[int] = (3, 4), **known) -> Image:
    shape = shape if plane is None else plane.shape
    return Image(pixels(shape), None, plane=plane, **known)


def prescribed(index: int, slices: int = 9, seed: int = 0) -> dict[str, list[Plane]]:
    """The planes of a phantom's study, the short-axis stack from base to apex."""
    return prescribe(draw_subject(seed, index), slices, np.random.default_rng([seed, index, 4]))


def taken(name: str, planes: Sequence[Plane], phases: int = 3, **known) -> list[Loaded]:
    """A series of single frames in files of which neither names nor numbers tell a thing; the last phase comes first.

    What it truly is lies in the order of the list: slice by slice, phase by phase.
    """
    count = len(planes) * phases
    numbers = np.random.default_rng(len(name)).permutation(count)
    series = Series(tuple(Path(f"{name}{number}") for number in range(count)))
    return [
        Loaded(series, int(numbers[place * phases + phase]), image(plane, time=40.0 * phase, **known))
        for place, plane in enumerate(planes)
        for phase in range(phases)
    ]


def whole_study(index: int, views: Sequence[str] = VIEWS, slices: int = 9, phases: int = 3) -> dict[str, list[Loaded]]:
    """The series of a phantom's study by view: nothing but planes and times tells what they are."""
    planes = prescribed(index, slices)
    return {view: taken(f"series{VIEWS.index(view)}", planes[view], phases) for view in views}


def of_series(each: Loaded, **known) -> Loaded:
    """The same image where the set knows more of its series."""
    return replace(each, series=replace(each.series, **known))


def place(placed: Placed) -> tuple:
    """All that is said of an image."""
    p = placed
    return p.study, p.view, p.slice, p.slices, p.phase, p.phases, p.moment, p.ordered, p.remark


def places(arranged: Sequence[Placed]) -> dict[Loaded, tuple]:
    return {p.loaded: place(p) for p in arranged}
