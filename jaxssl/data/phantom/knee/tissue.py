"""How a knee looks on the scanners of four makers: proton-density weighted, with or without fat suppression."""

from dataclasses import dataclass

import numpy as np

from jaxssl.data.phantom.scanner import Vendor
from jaxssl.data.phantom.shapes import Numbers, Points, Texture


@dataclass(frozen=True)
class KneeTissues:
    """Signals as parts of the brightest; the defaults are those of a fat-suppressed image."""

    fat: float = 0.19
    marrow: float = 0.17
    muscle: float = 0.36
    cartilage: float = 0.54
    fluid: float = 0.88
    meniscus: float = 0.06
    ligament: float = 0.08
    bone: float = 0.04
    """The cortex."""
    vein: float = 0.55
    skin: float = 0.28


@dataclass(frozen=True)
class Protocol:
    """One maker's knee examination."""

    vendor: Vendor
    tissues: KneeTissues


PROTOCOLS = {
    "A": Protocol(Vendor(900, 0.022, 0.65, (166, 150), 3.5, 0.9, 0.6), KneeTissues()),
    "B": Protocol(
        Vendor(1100, 0.018, 0.6, (160, 144), 3.5, 0.85, 0.35),
        KneeTissues(fat=0.92, marrow=0.8, muscle=0.34, cartilage=0.52, fluid=0.66, ligament=0.09, vein=0.3, skin=0.5),
    ),
    "C": Protocol(
        Vendor(520, 0.035, 0.75, (170, 156), 4.0, 0.95, 0.9),
        KneeTissues(fat=0.22, marrow=0.2, muscle=0.3, cartilage=0.48, meniscus=0.08),
    ),
    "D": Protocol(
        Vendor(1500, 0.026, 0.7, (165, 152), 3.0, 0.9, 0.7),
        KneeTissues(fat=1.0, marrow=0.85, muscle=0.42, cartilage=0.55, fluid=0.8, ligament=0.11, vein=0.2, skin=0.55),
    ),
}


@dataclass(frozen=True)
class KneeTextures:
    """Random fields that keep the tissues from being flat."""

    coarse: Texture
    fine: Texture
    strands: Texture

    @classmethod
    def random(cls, rng: np.random.Generator) -> "KneeTextures":
        """Fields for one subject."""
        return cls(Texture.random(rng, (14, 45), 6), Texture.random(rng, (2.5, 9), 8), Texture.random(rng, (9, 30), 7))


@dataclass(frozen=True)
class KneeCoil:
    """Sensitivity of the coil that encloses the knee: higher near the skin, failing above and below."""

    tilt: tuple[float, float, float]
    slide: float
    """How far the knee lies from the coil's middle, along z."""

    @classmethod
    def random(cls, rng: np.random.Generator) -> "KneeCoil":
        """A coil as the knee came to lie in it."""
        x, y, z = rng.normal(0, 0.1, 3)
        return cls((float(x), float(y), float(z)), float(rng.normal(6, 6)))

    def sensitivity(self, p: Points, strength: float) -> Numbers:
        """Smooth factor, about 1 in the joint, at knee-frame points."""
        near = 0.75 + 0.5 * ((p.x / 60) ** 2 + ((p.y - 5) / 60) ** 2)
        away = ((p.z - self.slide) / 88) ** 2
        along = np.exp(-away * away)
        uneven = np.exp(sum(t * q / 50 for t, q in zip(self.tilt, p, strict=True)))
        return (near * (0.1 + 0.9 * along) * uneven) ** np.float32(strength)
