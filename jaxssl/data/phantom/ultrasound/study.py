"""A synthetic obstetric examination: planes of a fetus as a sonographer meets them, their labels, masks and geometry.

Subject 7 is the same alone and among 64: everything is drawn from (seed, index) and, for an image, from its place.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from jaxssl.data.phantom.beat import beat
from jaxssl.data.phantom.crowd import one_after_the_other, refuse_below
from jaxssl.data.phantom.shapes import Points
from jaxssl.data.phantom.ultrasound.labels import ULTRASOUND_CLASSES, classes_of, mask
from jaxssl.data.phantom.ultrasound.population import Fetus, Scan, draw_fetus, draw_scan
from jaxssl.data.phantom.ultrasound.probe import Pose, Sector
from jaxssl.data.phantom.ultrasound.scene import image
from jaxssl.data.phantom.ultrasound.views import VIEWS, Aim, aimed
from jaxssl.data.record import Record
from jaxssl.errors import UserError
from jaxssl.geometry import points

THICKNESS = 3.0
"""Nominal, in mm: so thick is the slice of a real probe; the anatomy here is cut by a plane without thickness."""


@dataclass(frozen=True)
class UltrasoundOptions:
    """A population of synthetic fetuses and their examinations.

    >>> UltrasoundOptions(planes=("femur",)).classes
    ('background', 'femur')
    """

    subjects: int = 64
    scans: int = 2
    """Examinations of each fetus, each with a probe and settings of its own."""
    frames: int = 1
    """Images of each plane of an examination, in which the probe moves a little, and the heart beats."""
    planes: tuple[str, ...] = ()
    """Those that are looked for; none looks for all. Masks name what these show and no more."""
    seed: int = 0
    """Another seed draws other subjects."""

    def __post_init__(self):
        refuse_below(self, subjects=1, scans=1, frames=1, seed=0)
        if unknown := sorted(set(self.planes) - set(VIEWS)):
            raise UserError(f"phantom planes has {unknown[0]!r}, which is none of {', '.join(VIEWS)}: choose of these.")

    @property
    def classes(self) -> tuple[str, ...]:
        """What the codes of the masks mean."""
        return classes_of(self.planes or VIEWS.keys())


def ultrasound_phantom(
    options: UltrasoundOptions, progress: Callable[[int, int], None] | None = None
) -> Iterator[Record]:
    """All records, subject by subject; `progress(done, subjects)` is called after each subject."""
    return one_after_the_other(functools.partial(ultrasound_subject, options), options.subjects, progress)


def ultrasound_subject(options: UltrasoundOptions, index: int) -> list[Record]:
    """The records of one fetus: scan by scan, planes in the order of `VIEWS`, frames in time."""
    fetus = draw_fetus(options.seed, index)
    return [
        record
        for number in range(options.scans)
        for plane in VIEWS
        if plane in (options.planes or VIEWS)
        for record in _frames(options, index, number, fetus, draw_scan(options.seed, index, number), plane)
    ]


def head_circumference(options: UltrasoundOptions, index: int) -> float:
    """Of one subject's skull in mm, from its measures: what a transthalamic plane met exactly would show."""
    return draw_fetus(options.seed, index).size.head_circumference


def _frames(
    options: UltrasoundOptions, index: int, number: int, fetus: Fetus, scan: Scan, plane: str
) -> Iterator[Record]:
    """One plane held over a heartbeat."""
    view, place = VIEWS[plane], (options.seed, index, 3, number, list(VIEWS).index(plane))
    aim = aimed(view, fetus, np.random.default_rng(place))
    sector, pose = placed(scan, aim, scan.zoomed or view.close)
    shown_at = pose.plane(sector)
    where = Points(*np.moveaxis(points(shown_at).astype(np.float32), -1, 0))
    _, _, in_fan = sector.pixel_beams()
    codes = np.array([options.classes.index(n) if n in options.classes else 0 for n in ULTRASOUND_CLASSES], np.uint8)
    for phase in range(options.frames):
        moment = beat(phase, options.frames)
        truth = mask(fetus, plane, where, moment.contraction)
        yield Record(
            image=image(fetus, scan, sector, pose, moment, np.random.default_rng([*place, phase]))[..., None],
            subject=f"ultrasound-{options.seed}-{index:03d}",
            study=f"scan-{options.seed}-{index:03d}-{number}",
            view=plane,
            slice=0,
            slices=1,
            phase=phase,
            phases=options.frames,
            moment="",
            plane=shown_at,
            thickness=THICKNESS,
            mask=None if truth is None else codes[truth] * in_fan,
            labels={"plane": plane, "organ": view.organ, **({"brain_plane": plane} if view.organ == "head" else {})},
        )


def placed(scan: Scan, aim: Aim, zoomed: bool) -> tuple[Sector, Pose]:
    """The fan that shows what is aimed at, and where the probe is for it: outside of the wall and the fluid."""
    depth = scan.wall + scan.placenta + scan.fluid + aim.before
    far = depth + aim.behind
    near = max(scan.wall + scan.placenta - 6, 0) if zoomed else 0.0
    wanted = float(np.arctan(1.15 * aim.width / (scan.radius + depth)))
    sector = Sector(scan.radius, near, far, min(wanted, scan.opening) if zoomed else scan.opening)
    return sector, Pose(aim.centre - depth * aim.beam, aim.lateral, aim.beam)
