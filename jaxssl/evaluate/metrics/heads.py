"""The circumference of a fetal head."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from scipy import ndimage


def circumference(mask: Bool[np.ndarray, "y x"], spacing: Sequence[float]) -> float | None:
    """Perimeter of the ellipse that has the moments of a head in an image; None where the mask is empty.

    The points of a filled ellipse with the semi-axes a and b have a covariance with the eigenvalues a²/4 and b²/4; its
    perimeter in the unit of `spacing` (y, x) is, to 1e-5 where b > a/2 (Ramanujan 1914),

        pi (3 (a + b) - sqrt((3 a + b) (a + 3 b)))

    The head is the largest piece of the mask that hangs together by faces, with its holes filled, since scattered
    pixels do not have the moments of an ellipse.

    A disc of 25 mm around the middle, in pixels of half a millimetre, has 2 pi 25 mm:

    >>> y, x = np.indices([101, 101]) - 50
    >>> round(circumference(y**2 + x**2 <= 50**2, spacing=[0.5, 0.5]))
    157
    """
    if not mask.any():
        return None
    pieces = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, output=pieces)
    largest = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1
    points = np.argwhere(np.asarray(ndimage.binary_fill_holes(largest))) * spacing
    # Rounding may leave a line of pixels a width below zero.
    a, b = 2 * np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points.T, ddof=0)), 0))
    return float(np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b))))
