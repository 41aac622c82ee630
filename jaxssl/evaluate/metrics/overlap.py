"""Overlap of two label maps."""

import numpy as np
from jaxtyping import Float, Integer


def dice(
    prediction: Integer[np.ndarray, "..."], truth: Integer[np.ndarray, "..."], classes: int
) -> Float[np.ndarray, "classes"]:
    """Dice overlap `2|P & T| / (|P| + |T|)` of the codes 1 .. `classes` in two label maps of one shape.

    Both maps hold every slice of one subject at one moment, in the original grid, so that a structure is scored as
    the volume it is, or one slice alone. A structure empty in both maps scores 1, in only one of them 0.

    Half of class 1 overlaps, class 2 is in one map only, class 3 in none:

    >>> dice(np.array([1, 1, 1, 2]), np.array([1, 0, 0, 0]), classes=3).tolist()
    [0.5, 0.0, 1.0]
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"label maps differ in shape: prediction {prediction.shape}, truth {truth.shape}")
    codes = range(1, classes + 1)
    overlap = np.array([np.sum((prediction == code) & (truth == code)) for code in codes])
    total = np.array([np.sum(prediction == code) + np.sum(truth == code) for code in codes])
    return np.where(total == 0, 1.0, 2.0 * overlap / np.maximum(total, 1))
