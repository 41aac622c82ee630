"""Scores of label maps and of predicted classes, with their conventions for what is missing."""

from jaxssl.evaluate.metrics.classes import (
    Reliability,
    accuracy,
    auprc_by_class,
    auroc_by_class,
    balanced_accuracy,
    calibration_error,
    macro_f1,
    mean_auroc,
    measures,
    reliability,
)
from jaxssl.evaluate.metrics.heads import circumference
from jaxssl.evaluate.metrics.overlap import dice
from jaxssl.evaluate.metrics.surface import Distances, border_distances
from jaxssl.evaluate.metrics.volumes import ejection_fraction, extents, mass, volumes

__all__ = [
    "Distances",
    "Reliability",
    "accuracy",
    "auprc_by_class",
    "auroc_by_class",
    "balanced_accuracy",
    "border_distances",
    "calibration_error",
    "circumference",
    "dice",
    "ejection_fraction",
    "extents",
    "macro_f1",
    "mass",
    "mean_auroc",
    "measures",
    "reliability",
    "volumes",
]
