"""Who is scanned and how: a fetus by (seed, index), an examination of it by (seed, index, scan)."""

from dataclasses import dataclass

import numpy as np

from jaxssl.data.phantom.shapes import Texture
from jaxssl.data.phantom.ultrasound.growth import Size, draw_size
from jaxssl.data.phantom.ultrasound.limb import Thigh
from jaxssl.data.phantom.ultrasound.speckle import Beam, Display

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Fetus:
    """One subject, in LPS coordinates of its own whose origin is the middle of its diaphragm; mm."""

    weeks: float
    size: Size
    skull: float
    """Thickness."""
    heart_axis: float
    """Angle in radians between the heart and the middle of the chest, 45 degrees in most."""
    coarse: Texture
    fine: Texture
    folds: Texture

    @property
    def head(self) -> Triple:
        """Middle of the head."""
        return 0.0, -0.2 * self.size.trunk, 2.3 * self.size.trunk + 1.15 * self.size.head

    @property
    def heart(self) -> Triple:
        """The crux of the heart."""
        radius = self.size.trunk
        return 0.04 * radius, -0.06 * radius, 0.62 * radius

    @property
    def heart_unit(self) -> float:
        """Half the length of the heart: it fills a third of the chest."""
        return 0.64 * self.size.trunk

    @property
    def thighs(self) -> tuple[Thigh, Thigh]:
        """Right and left, drawn up a little."""
        radius = self.size.trunk
        along = np.array([0.25, -0.8, -0.55]) / np.linalg.norm([0.25, -0.8, -0.55])

        def thigh(side: float) -> Thigh:
            hip = np.array([side * 0.52 * radius, -0.15 * radius, -1.95 * radius])
            knee = hip + self.size.femur * along * [side, 1, 1]
            return Thigh(tuple(hip.tolist()), tuple(knee.tolist()), 0.36 * radius)

        return thigh(-1.0), thigh(1.0)


@dataclass(frozen=True)
class Scan:
    """One examination: the probe, its settings, and the mother's wall in front of the fetus."""

    radius: float
    """Of the probe's surface."""
    opening: float
    """Largest half angle of the fan."""
    beam: Beam
    display: Display
    compensation: float
    """dB/mm that the depth compensation adds."""
    attenuation: float
    """How much more than usual the tissues attenuate, as a factor."""
    contact: tuple[float, float]
    """dB that are lost at the left and the right edge of the probe, where it is not pressed on."""
    wall: float
    """Thickness of the mother's wall in mm."""
    fat: float
    """Part of it that is fat."""
    fluid: float
    """Amniotic fluid between the wall and the fetus in mm."""
    placenta: float
    """Thickness of an anterior placenta in mm, 0 for a posterior one."""
    pocket: float
    """Half the width of the fluid, as a part of its depth."""
    lean: float
    """How far the fluid lies to one side, as a part of that."""
    zoomed: bool
    """Whether the picture begins below the mother's wall."""


def draw_fetus(seed: int, index: int) -> Fetus:
    """Subject `index` of the population `seed`."""
    rng, texture = (np.random.default_rng([seed, index, stream]) for stream in range(2))
    weeks = float(rng.uniform(19, 31))
    return Fetus(
        weeks,
        draw_size(weeks, rng),
        float(rng.uniform(1.3, 1.7) + 0.05 * (weeks - 19)),
        float(np.deg2rad(np.clip(rng.normal(45, 7), 30, 60))),
        Texture.random(texture, (9, 30)),
        Texture.random(texture, (2.5, 6)),
        Texture.random(texture, (4, 9), 4),
    )


def draw_scan(seed: int, index: int, scan: int) -> Scan:
    """Examination `scan` of subject `index`."""
    rng = np.random.default_rng([seed, index, 2, scan])

    def draw(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    return Scan(
        radius=draw(45, 62),
        opening=float(np.deg2rad(draw(32, 37))),
        beam=Beam(draw(0.24, 0.36), draw(0.45, 0.7), draw(45, 75), draw(22, 38)),
        display=Display(draw(-8, -2), draw(50, 60), draw(-76, -64), int(rng.choice([1, 2, 3]))),
        compensation=draw(0.12, 0.15),
        attenuation=draw(0.85, 1.2),
        contact=(draw(0, 12), draw(0, 12)),
        wall=draw(14, 26),
        fat=draw(0.2, 0.5),
        fluid=draw(2, 12),
        placenta=draw(14, 24) * float(rng.choice([0, 1])),
        pocket=draw(0.6, 1.1),
        lean=draw(-0.25, 0.25),
        zoomed=bool(rng.choice([False, True])),
    )
