"""A synthetic cine study: a short-axis stack and three long-axis views of a beating heart, its labels and planes exact.

Subject 7 is the same alone and among 64: everything is drawn from (seed, index) and, for noise, from the image's place.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from jaxssl.data.phantom.beat import beat, end_systole
from jaxssl.data.phantom.crowd import one_after_the_other, refuse_below
from jaxssl.data.phantom.population import Subject, draw_subject
from jaxssl.data.phantom.prescription import VIEWS, prescribe
from jaxssl.data.phantom.scanner import VENDORS, acquire
from jaxssl.data.phantom.scene import frames, masks, thick_slice
from jaxssl.data.phantom.ventricles import volumes
from jaxssl.data.record import Record
from jaxssl.geometry import Plane, normal, points

BREATH_HOLD = 1.6
"""Standard deviation in mm of the in-plane displacement of the anatomy from one short-axis slice to the next."""


@dataclass(frozen=True)
class CineOptions:
    """A population of synthetic cine studies.

    Each has a short-axis stack and three long-axis views, all in every frame:

    >>> options = CineOptions(subjects=1, phases=2, slices=4)
    >>> len(list(cine_phantom(options))) == (options.slices + 3) * options.phases
    True
    """

    subjects: int = 64
    phases: int = 4
    """Frames of each slice over the beat, ED first."""
    slices: int = 9
    """Slices of the short-axis stack."""
    seed: int = 0
    """Another seed draws other subjects."""

    def __post_init__(self):
        refuse_below(self, subjects=1, phases=1, slices=2, seed=0)


def cine_phantom(options: CineOptions, progress: Callable[[int, int], None] | None = None) -> Iterator[Record]:
    """All records, subject by subject; `progress(done, subjects)` is called after each subject."""
    return one_after_the_other(functools.partial(cine_subject, options), options.subjects, progress)


def cine_subject(options: CineOptions, index: int) -> list[Record]:
    """The records of one subject: views in the order of `VIEWS`, slices base to apex, phases in time."""
    subject = draw_subject(options.seed, index)
    planes = prescribe(subject, options.slices, np.random.default_rng([options.seed, index, 4]))
    return [
        record
        for view in VIEWS
        for place, plane in enumerate(planes[view])
        for record in _slice_records(options, index, subject, view, place, plane)
    ]


def analytic_volumes(options: CineOptions, index: int, phase: int) -> dict[str, float]:
    """Volumes in ml of "RV", "MYO" and "LV" of one subject at one phase, integrated from the closed-form surfaces."""
    moment = beat(phase, options.phases)
    return volumes(draw_subject(options.seed, index).heart.ventricles, moment.contraction)


def _slice_records(
    options: CineOptions, index: int, subject: Subject, view: str, place: int, plane: Plane
) -> Iterator[Record]:
    """The frames of one slice, all in the same breath-hold."""
    vendor, phases = VENDORS[subject.vendor], options.phases
    rng = np.random.default_rng([options.seed, index, 5, VIEWS.index(view), place])
    shift = rng.normal(0, BREATH_HOLD, 2) if view == "sax" else np.zeros(2)
    where = points(plane) + shift[0] * plane.y_axis + shift[1] * plane.x_axis
    coil = subject.coils.sensitivity(where - subject.chest, vendor.coil)
    moments = [beat(phase, phases) for phase in range(phases)]
    layers = thick_slice(where, normal(plane), vendor.thickness)
    shown = zip(frames(subject, layers, moments), masks(subject, where, moments), strict=True)
    for phase, (signal, mask) in enumerate(shown):
        yield Record(
            image=acquire(np.abs(signal) * coil, vendor, rng)[..., None],
            subject=f"phantom-{options.seed}-{index:03d}",
            study=f"cine-{options.seed}-{index:03d}",
            view=view,
            slice=place,
            slices=options.slices if view == "sax" else 1,
            phase=phase,
            phases=phases,
            moment="ED" if phase == 0 else "ES" if phase == end_systole(phases) else "",
            plane=plane,
            thickness=vendor.thickness,
            mask=mask,
            labels={"group": subject.group, "vendor": subject.vendor},
        )
