"""What the sizes of the heart's chambers come to: volumes in ml, the fraction ejected, the mass of the muscle."""

import numpy as np
from jaxtyping import Float

DENSITY = 1.05
"""Of myocardium, in g/ml."""


def extents(depths: Float[np.ndarray, "slices"]) -> Float[np.ndarray, "slices"]:
    """How many mm of a stack each slice stands for, from where the slices lie.

    Half the way to its neighbour on either side; an end slice reaches as far outwards as inwards. Slices at even steps
    all stand for one step, so that a volume is the sum of areas times the step (gaps between slices included).

    >>> extents(np.array([0.0, 8.0, 24.0])).tolist()
    [8.0, 12.0, 16.0]
    """
    return np.abs(np.gradient(depths))


def volumes(
    areas: Float[np.ndarray, "slices classes"], extents: Float[np.ndarray, "slices"]
) -> Float[np.ndarray, "classes"]:
    """Volume in ml of each class from its area (mm²) in every slice and the mm that the slice stands for.

        V_c = sum_s A_sc h_s / 1000

    10 cm² and 5 cm² in slices of 1 cm:

    >>> volumes(np.array([[1000.0], [500.0]]), np.array([10.0, 10.0])).tolist()
    [15.0]
    """
    return extents @ areas / 1000


def ejection_fraction(edv: float, esv: float) -> float | None:
    """100 (EDV - ESV) / EDV in %; None where there is nothing to eject from. It is negative where ESV is larger.

    >>> ejection_fraction(edv=120.0, esv=48.0)
    60.0
    """
    return 100 * (edv - esv) / edv if edv > 0 else None


def mass(volume: float) -> float:
    """Grams of that many ml of myocardium.

    >>> mass(100.0)
    105.0
    """
    return DENSITY * volume
