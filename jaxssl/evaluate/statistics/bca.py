"""The bias-corrected and accelerated bootstrap interval, of any measure over patients."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Integer, Shaped
from scipy.special import ndtr, ndtri

from jaxssl.evaluate.statistics.intervals import FEWEST, UNKNOWN, Interval


def bca(
    measure: Callable[[Integer[np.ndarray, "row"]], float],
    subjects: Shaped[np.ndarray, "row"],
    level: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> Interval:
    """BCa interval of a measure that is no mean over patients: AUROC, F1, balanced accuracy.

    `measure` gets row numbers and is asked once a resample; `subjects` names the patient of each row, all of whose
    rows are drawn together. Resamples in which the measure is nan are left out: those that lack a class have no AUROC.

    The mean of ten patients from 0 to 9, which is 4.5:

    >>> scores = np.arange(10.0)
    >>> [round(end, 1) for end in bca(lambda rows: scores[rows].mean(), subjects=np.arange(10))]
    [2.7, 6.3]
    """
    _, owner = np.unique(subjects, return_inverse=True)
    rows_of = [np.flatnonzero(owner == subject) for subject in range(owner.max(initial=-1) + 1)]
    n = len(rows_of)
    if n < FEWEST:
        return UNKNOWN
    drawn = np.random.default_rng(seed).integers(0, n, (resamples, n))
    replicates = [measure(np.concatenate([rows_of[subject] for subject in one])) for one in drawn]
    without_one = [measure(np.flatnonzero(owner != subject)) for subject in range(n)]
    return bca_of(measure(np.arange(len(owner))), np.array(replicates), np.array(without_one), level)


def bca_of(
    value: float,
    replicates: Float[np.ndarray, "resample"],
    without_one: Float[np.ndarray, "subject"],
    level: float = 0.95,
) -> Interval:
    """BCa interval of `value` from its bootstrap `replicates` and its values without one patient at a time.

    The ends are the quantiles Φ(z0 + (z0 + z) / (1 - a (z0 + z))) of the replicates at z = ±Φ⁻¹((1 + level) / 2), where
    z0 = Φ⁻¹ of their share below `value`, ties counted half, and a = Σd³ / 6 (Σd²)^1.5 for the deviations d of
    `without_one` below their mean. Efron (1987).

    Where nothing is skewed these are the percentiles:

    >>> [round(end, 3) for end in bca_of(0.5, np.linspace(0, 1, 1001), np.array([0.4, 0.5, 0.6]))]
    [0.025, 0.975]
    """
    replicates, without_one = replicates[np.isfinite(replicates)], without_one[np.isfinite(without_one)]
    deviations = without_one.mean() - without_one if without_one.size else without_one
    # A measure that is the same in every resample, such as the AUROC of classes that do not overlap, says nothing of
    # its own spread.
    if not np.isfinite(value) or not replicates.size or np.ptp(replicates) == 0 or not deviations.any():
        return UNKNOWN
    acceleration = np.sum(deviations**3) / (6 * np.sum(deviations**2) ** 1.5)
    below = (np.mean(replicates < value) + np.mean(replicates <= value)) / 2
    # Where every replicate lies on one side Φ⁻¹ would be infinite.
    bias = ndtri(np.clip(below, 0.5 / len(replicates), 1 - 0.5 / len(replicates)))
    tails = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(replicates, ndtr(bias + tails / (1 - acceleration * tails)))
    return Interval(float(low), float(high))
