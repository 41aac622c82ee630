"""What each tissue looks like in a balanced steady-state (bSSFP) cine image, and the person whose tissues they are."""

from dataclasses import dataclass

import numpy as np

from jaxssl.data.phantom.shapes import Texture


@dataclass(frozen=True)
class Tissues:
    """Signals, with blood at 1.

    Fat is negative: it is in opposed phase to water, so that their mixture cancels and leaves the thin black outline
    that every reader of bSSFP images knows. The magnitude is taken at the end.
    """

    blood: float = 1.0
    fat: float = -0.95
    myocardium: float = 0.34
    muscle: float = 0.22
    liver: float = 0.36
    spleen: float = 0.5
    lung: float = 0.05
    marrow: float = 0.4
    bone: float = 0.1
    fluid: float = 1.15
    stomach: float = 0.5


@dataclass(frozen=True)
class Body:
    """The chest round the heart, in a frame of LPS directions whose origin is the middle of the chest; mm."""

    width: float
    """Half the width of the inside of the chest."""
    depth: float
    """Half its depth."""
    muscle: float
    fat: float
    breast: float
    liver: float
    """Height of the right dome of the diaphragm."""
    heart_floor: float
    """Height of the diaphragm under the heart."""
    gas: float
    """Height of the gas in the stomach, as a part of its size."""


@dataclass(frozen=True)
class Textures:
    """Random fields that keep the tissues from being flat."""

    broad: Texture
    """Shapes the body and its organs."""
    coarse: Texture
    fine: Texture
    vessels: tuple[Texture, Texture]
    """Vessels of lung and liver run where both fields are zero."""

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Textures":
        """Fields for one subject."""
        vessels = (Texture.random(rng, (20, 50), 4), Texture.random(rng, (20, 50), 4))
        return cls(
            Texture.random(rng, (110, 240), 4), Texture.random(rng, (22, 70)), Texture.random(rng, (6, 18), 6), vessels
        )
