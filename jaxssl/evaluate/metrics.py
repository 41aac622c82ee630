"""Scores of label maps and of predicted classes, with their conventions for what is missing."""

import numpy as np
from jaxtyping import Float, Integer


def dice(
    prediction: Integer[np.ndarray, "..."], truth: Integer[np.ndarray, "..."], classes: int
) -> Float[np.ndarray, "classes"]:
    """Dice overlap 2|P & T| / (|P| + |T|) of the codes 1 .. `classes` in two label maps of one shape.

    Both maps hold every slice of one subject at one moment, in the original grid, so that a structure is scored as
    the volume it is. A structure empty in both maps scores 1, in only one of them 0.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"label maps differ in shape: prediction {prediction.shape}, truth {truth.shape}")
    codes = range(1, classes + 1)
    overlap = np.array([np.sum((prediction == code) & (truth == code)) for code in codes])
    total = np.array([np.sum(prediction == code) + np.sum(truth == code) for code in codes])
    return np.where(total == 0, 1.0, 2.0 * overlap / np.maximum(total, 1))


def accuracy(prediction: Integer[np.ndarray, "n"], truth: Integer[np.ndarray, "n"]) -> float:
    """Share of samples whose class is right."""
    return float(np.mean(prediction == truth))


def balanced_accuracy(prediction: Integer[np.ndarray, "n"], truth: Integer[np.ndarray, "n"]) -> float:
    """Mean over the classes that occur in `truth` of the share of that class predicted right (its recall)."""
    return float(np.mean([np.mean(prediction[truth == code] == code) for code in np.unique(truth)]))
