"""What the sizes of the heart's chambers come to: volumes in ml, the fraction ejected, the mass of the muscle."""

import numpy as np
from jaxtyping import Float

DENSITY = 1.05
"""Of myocardium, in g/ml."""


def extents(depths: Float[np.ndarray, "slices"]) -> Float[np.ndarray, "slices"]:
    """How many mm of a stack each slice stands for, from where the slices lie.

    Half the way to its neighbour on either side; an end slice reaches as far outwards as inwards. Slices at even steps
    all stand for one step, so that a volume is the sum of areas times the step (gaps between slices included).
    """
    return np.abs(np.gradient(depths))


def volumes(
    areas: Float[np.ndarray, "slices classes"], extents: Float[np.ndarray, "slices"]
) -> Float[np.ndarray, "classes"]:
    """Volume in ml of each class from its area (mm²) in every slice and the mm that the slice stands for."""
    return extents @ areas / 1000


def ejection_fraction(edv: float, esv: float) -> float | None:
    """100 (EDV - ESV) / EDV in %; None where there is nothing to eject from. It is negative where ESV is larger."""
    return 100 * (edv - esv) / edv if edv > 0 else None


def mass(volume: float) -> float:
    """Grams of that many ml of myocardium."""
    return DENSITY * volume
