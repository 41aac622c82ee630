"""The interval of one AUROC from nothing but the AUROC and the size of its two classes."""

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import ndtri

from jaxssl.evaluate.statistics.intervals import FEWEST, UNKNOWN, Interval


def auroc_interval(auroc: float, positives: int, negatives: int, level: float = 0.95) -> Interval:
    """Score interval of a two-class AUROC over patients: every A with `|auroc - A| <= z sqrt(V(A))`.

    V(A) = A (1 - A) / (p n) · (1 + (N - 1) ((1 - A) / (2 - A) + A / (1 + A))), N = (p + n) / 2: the variance of Hanley
    and McNeil, their class sizes averaged (R. G. Newcombe, Statistics in Medicine 25, 2006, method 5). Unlike any
    resampling it has something to say of classes that do not overlap in the sample.

    Ten patients of either class that do not overlap do not show that none would:

    >>> [round(end, 2) for end in auroc_interval(1.0, positives=10, negatives=10)]
    [0.8, 1.0]
    """
    if min(positives, negatives) < 1 or positives + negatives < FEWEST or not np.isfinite(auroc):
        return UNKNOWN
    quantile, pairs, half = ndtri((1 + level) / 2), positives * negatives, (positives + negatives) / 2

    def excess(a: float) -> float:
        variance = a * (1 - a) / pairs * (1 + (half - 1) * ((1 - a) / (2 - a) + a / (1 + a)))
        return (auroc - a) ** 2 - quantile**2 * variance

    # At 0 and 1 the variance is 0 and A = auroc a solution, but not the end of the interval.
    inside = np.clip(auroc, 1e-9, 1 - 1e-9)
    low = root_scalar(excess, bracket=(0.0, inside)).root if auroc > 0 else 0.0
    high = root_scalar(excess, bracket=(inside, 1.0)).root if auroc < 1 else 1.0
    return Interval(float(low), float(high))
