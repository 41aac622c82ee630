"""Whose knee is scanned: drawn from one of four groups, by (seed, index) alone."""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from jaxssl.data.phantom.knee.bones import (
    Compartment,
    Knee,
    plateau_height,
    surfaces,
    tibial_thickness,
)
from jaxssl.data.phantom.knee.limb import Limb, Tear
from jaxssl.data.phantom.knee.tissue import PROTOCOLS, KneeCoil, KneeTextures
from jaxssl.data.phantom.shapes import Points

GROUPS = ("normal", "effusion", "meniscal tear", "thin cartilage")

ROOM = 0.5
"""Least distance in mm between the cartilage of femur and tibia."""


@dataclass(frozen=True)
class KneeSubject:
    """One knee in the scanner of one maker."""

    group: str
    vendor: str
    side: str
    """"left" or "right"."""
    knee: Knee
    limb: Limb
    textures: KneeTextures
    coil: KneeCoil
    axes: np.ndarray
    """Rows: the knee frame's x, y, z in LPS; left-handed for a right knee."""
    origin: np.ndarray
    """Origin of the knee frame in LPS."""
    size: float
    """Length in mm of a unit of the knee frame."""

    def points(self, where: Float[np.ndarray, "*points 3"]) -> Points:
        """Patient points in the knee frame."""
        local = (where.reshape(-1, 3) - self.origin) @ (self.axes.T / self.size)
        return Points(*local.T.astype(np.float32))


def draw_knee_subject(seed: int, index: int) -> KneeSubject:
    """Subject `index` of the population `seed`; groups and makers take turns, so that every 16 hold each pair once."""
    group, vendors = GROUPS[index % len(GROUPS)], list(PROTOCOLS)
    anatomy, flesh, place, texture, scan = (np.random.default_rng([seed, index, stream]) for stream in range(5))
    side = ("left", "right")[int(place.integers(2))]
    mirror = np.array([1.0 if side == "left" else -1.0, 1, 1])
    axes = Rotation.from_rotvec(place.normal(0, 0.05, 3)).as_matrix()
    return KneeSubject(
        group=group,
        vendor=vendors[index // len(GROUPS) % len(vendors)],
        side=side,
        knee=_draw_knee(anatomy, worn=group == "thin cartilage"),
        limb=_draw_limb(flesh, group),
        textures=KneeTextures.random(texture),
        coil=KneeCoil.random(scan),
        axes=axes * mirror,
        origin=(np.array([88.0, 0, 0]) + place.normal(0, 8, 3)) * mirror,
        size=float(np.clip(place.normal(1, 0.06), 0.86, 1.14)),
    )


def settled(knee: Knee) -> Knee:
    """The same knee with its condyles lowered or lifted until each just leaves room over the plateau's cartilage."""
    for _ in range(4):
        medial, lateral = (replace(half, bottom=half.bottom + ROOM - _room(knee, half)) for half in knee.halves)
        knee = replace(knee, medial=medial, lateral=lateral)
    return knee


def _room(knee: Knee, half: Compartment) -> float:
    """Least distance between the cartilage of femur and tibia on one side."""
    a, b = half.footprint
    across, along = np.meshgrid(np.linspace(-a, a, 25), np.linspace(-b, b, 33))
    x = (half.side * half.middle + across).ravel().astype(np.float32)
    y = (3 + along).ravel().astype(np.float32)
    z = plateau_height(knee, x, y) + tibial_thickness(half, x, y)
    d = surfaces(knee, Points(x, y, z))
    return float(np.minimum(d.femur, d.femoral_cartilage).min())


def _draw_knee(rng: np.random.Generator, worn: bool) -> Knee:
    """Bones of plausible proportions, cartilage included."""

    def draw(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    front, radius, middle, half_width = draw(-3, 0), draw(26.5, 29.5), draw(20.5, 22.0), draw(14.0, 15.5)
    part = draw(0.3, 0.55) if worn else 1.0
    sound = draw(2.2, 2.8), draw(2.3, 3.1)
    plateau = draw(36.0, 38.5), draw(24.0, 26.0)
    place = draw(-25, -18), draw(-6, 14), draw(0.85, 1.0)

    def compartment(side: int) -> Compartment:
        medial = side < 0
        deep = plateau[1] - (2.5 if medial else 5.0)
        return Compartment(
            side,
            middle,
            half_width - (0 if medial else 0.5),
            (front + (1.5 if medial else -0.5), radius + draw(-0.8, 0.8)),
            (draw(13, 15) - (0 if medial else 1.5), draw(18.5, 20.5)),
            6.0,
            draw(0.8, 1.6) if medial else draw(-0.8, 0.2),
            sound[0] * (part if medial else 0.5 + 0.5 * part),
            sound[1] * (part if medial else 0.5 + 0.5 * part),
            (draw(13.0, 14.0), deep - 4.5),
            (plateau[0] - middle + 0.2, deep),
            (draw(8, 9.5), draw(10.5, 12.5)) if medial else (draw(9.5, 11), draw(9.5, 11)),
            draw(8, 9.5) if medial else draw(5.5, 7),
            (*place[:2], place[2] if worn and medial else 0.0),
        )

    return settled(
        Knee(
            medial=compartment(-1),
            lateral=compartment(1),
            groove=draw(4, 6),
            notch=draw(9, 10.5),
            roof=math.radians(draw(43, 51)),
            plateau=plateau,
            slope=math.radians(draw(3, 8)),
            spines=draw(6.5, 9),
            shaft=(draw(14.5, 16.5), draw(13.5, 15.5)),
        )
    )


def _draw_limb(rng: np.random.Generator, group: str) -> Limb:
    """What surrounds the bones, and what is wrong with it."""

    def draw(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    stout = draw(0, 1)
    tear = Tear(-1 if draw(0, 1) < 0.7 else 1, draw(0.5, 0.9), draw(1.6, 2.6))
    return Limb(
        fat=3.5 + 13 * stout * draw(0.6, 1),
        muscle=draw(0.88, 1.12),
        patella=(draw(0.5, 3), draw(33, 39)),
        fluid=draw(4, 7) if group == "effusion" else draw(0.2, 1.0),
        tear=tear if group == "meniscal tear" else None,
    )
