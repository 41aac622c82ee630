"""A synthetic knee study: a sagittal and a coronal stack of one knee, their labels and planes exact.

Subject 7 is the same alone and among 64: everything is drawn from (seed, index) and, for noise, from the image's place.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from jaxssl.data.phantom.crowd import one_after_the_other, refuse_below
from jaxssl.data.phantom.knee.bones import labels, surfaces
from jaxssl.data.phantom.knee.joint import paint_bones, paint_joint
from jaxssl.data.phantom.knee.limb import paint_limb, scene, skin_distance
from jaxssl.data.phantom.knee.population import KneeSubject, draw_knee_subject
from jaxssl.data.phantom.knee.tissue import PROTOCOLS
from jaxssl.data.phantom.scanner import acquire
from jaxssl.data.phantom.scene import thick_slice
from jaxssl.data.phantom.shapes import Points
from jaxssl.data.record import Record
from jaxssl.geometry import Plane, normal, points

KNEE_CLASSES = ("background", "femur", "tibia", "femoral cartilage", "tibial cartilage", "menisci")
"""Meaning of the mask codes 0..5."""

KNEE_VIEWS = ("sagittal", "coronal")

REACH = {"sagittal": (-39.0, 39.0), "coronal": (-47.0, 38.0)}
"""First and last slice of a stack, medial to lateral and front to back, in mm of a knee of standard size."""


@dataclass(frozen=True)
class KneeOptions:
    """A population of synthetic knee studies.

    >>> [record.view for record in knee_phantom(KneeOptions(subjects=1, slices=2))]
    ['sagittal', 'sagittal', 'coronal', 'coronal']
    """

    subjects: int = 64
    slices: int = 16
    """Slices of each of the two stacks."""
    seed: int = 0
    """Another seed draws other subjects."""

    def __post_init__(self):
        refuse_below(self, subjects=1, slices=2, seed=0)


def knee_phantom(options: KneeOptions, progress: Callable[[int, int], None] | None = None) -> Iterator[Record]:
    """All records, subject by subject; `progress(done, subjects)` is called after each subject."""
    return one_after_the_other(functools.partial(knee_subject, options), options.subjects, progress)


def knee_subject(options: KneeOptions, index: int) -> list[Record]:
    """The records of one subject: sagittal slices from medial to lateral, then coronal ones from front to back."""
    subject = draw_knee_subject(options.seed, index)
    planes = prescribe_knee(subject, options.slices, np.random.default_rng([options.seed, index, 5]))
    return [
        _record(options, index, subject, view, place, plane)
        for view in KNEE_VIEWS
        for place, plane in enumerate(planes[view])
    ]


def prescribe_knee(subject: KneeSubject, slices: int, rng: np.random.Generator) -> dict[str, list[Plane]]:
    """The planes of both stacks, each aligned with the knee but for a small tilt of its own."""
    vendor = PROTOCOLS[subject.vendor].vendor
    rows, columns = (2 * round(side / vendor.spacing / 2) for side in vendor.field_of_view)
    shape, spacing = np.array([rows, columns]), np.full(2, vendor.spacing)
    middle = subject.origin + subject.size * np.array([0, 3.0, 6.0]) @ subject.axes
    stacks = {}
    for view in KNEE_VIEWS:
        lateral, back, up = Rotation.from_rotvec(rng.normal(0, 0.035, 3)).as_matrix() @ subject.axes
        left = lateral if subject.side == "left" else -lateral
        across, x_axis = (lateral, back) if view == "sagittal" else (back, left)
        corner = middle + (rows - 1) / 2 * vendor.spacing * up - (columns - 1) / 2 * vendor.spacing * x_axis
        depths = (np.linspace(*REACH[view], slices) + rng.normal(0, 1)) * subject.size
        stacks[view] = [Plane(corner + depth * across, x_axis, -up, spacing, shape) for depth in depths]
    return stacks


def knee_signal(subject: KneeSubject, where: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points"]:
    """Signal at patient points: no slice thickness, coil or noise.

    A function of the point alone, so that images of different planes agree where the planes meet.
    """
    everywhere = subject.points(where)
    signal = np.zeros_like(everywhere.x)
    skin = skin_distance(subject.limb, everywhere)
    (body,) = np.nonzero(skin < 1)
    p = Points(*(q[body] for q in everywhere))
    s = scene(subject.textures, PROTOCOLS[subject.vendor].tissues, p)
    canvas = np.zeros_like(p.x)
    paint_limb(canvas, subject.limb, subject.knee, skin[body], s)
    d = surfaces(subject.knee, p)
    paint_bones(canvas, d, s)
    paint_joint(canvas, subject.knee, subject.limb, d, s)
    signal[body] = canvas
    return signal.reshape(where.shape[:-1])


def knee_mask(subject: KneeSubject, where: Float[np.ndarray, "*points 3"]) -> UInt8[np.ndarray, "*points"]:
    """Codes of `KNEE_CLASSES` at patient points."""
    return labels(surfaces(subject.knee, subject.points(where))).reshape(where.shape[:-1])


def _record(options: KneeOptions, index: int, subject: KneeSubject, view: str, place: int, plane: Plane) -> Record:
    """One slice, with its noise."""
    vendor = PROTOCOLS[subject.vendor].vendor
    rng = np.random.default_rng([options.seed, index, 6, KNEE_VIEWS.index(view), place])
    where = points(plane)
    layers = thick_slice(where, normal(plane), vendor.thickness)
    signal = np.mean([knee_signal(subject, layer) for layer in layers], axis=0)
    coil = subject.coil.sensitivity(subject.points(where), vendor.coil).reshape(signal.shape)
    return Record(
        image=acquire(signal * coil, vendor, rng)[..., None],
        subject=f"knee-{options.seed}-{index:03d}",
        study=f"knee-mr-{options.seed}-{index:03d}",
        view=view,
        slice=place,
        slices=options.slices,
        phase=0,
        phases=1,
        moment="",
        plane=plane,
        thickness=vendor.thickness,
        mask=knee_mask(subject, where),
        labels={"group": subject.group, "side": subject.side, "vendor": subject.vendor},
    )
