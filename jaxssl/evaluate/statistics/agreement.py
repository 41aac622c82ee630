"""Measured against true volumes, ejection fractions or circumferences, in their own units."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import nctdtrit, ndtri

from jaxssl.evaluate.statistics.intervals import UNKNOWN, Estimate, Interval, complete, studentised, within


@dataclass(frozen=True)
class Agreement:
    """How far measurements of `n` subjects lie from the truth: on average, in size, and for nearly all of them.

    >>> agreement(np.array([48.0, 60.0, 66.0]), np.array([50.0, 60.0, 70.0])).bias.value
    -2.0
    """

    n: int
    bias: Estimate
    mae: Estimate
    lower_limit: Estimate
    upper_limit: Estimate


def agreement(
    measured: Float[np.ndarray, "subject"], true: Float[np.ndarray, "subject"], level: float = 0.95
) -> Agreement:
    """Bias m = mean(measured - true), mean absolute error, and the limits of agreement m ± 1.96 s of Bland and Altman
    (1986).

    The limits hold 95% of such errors if these are normal, and their intervals are exact then: those of a quantile
    μ + zσ, m + t s / sqrt(n) with t noncentral of noncentrality z sqrt(n).

    Two of four measurements are 1 too small and two 3 too large, whose s is 4 / sqrt(3):

    >>> true = np.array([50.0, 55.0, 60.0, 65.0])
    >>> found = agreement(true + [-1.0, -1.0, 3.0, 3.0], true)
    >>> found.bias.value, found.mae.value, round(found.upper_limit.value, 2)
    (1.0, 2.0, 5.53)
    """
    errors = complete(measured) - complete(true)
    n = len(errors)
    bias, spread = errors.mean(), errors.std(ddof=1) if n > 1 else np.nan
    z = ndtri(0.975)

    def limit(sign: int) -> Estimate:
        if n < 2:
            return Estimate(float("nan"), UNKNOWN)
        tails = [(1 - level) / 2, (1 + level) / 2] if sign > 0 else [(1 + level) / 2, (1 - level) / 2]
        low, high = bias + sign * nctdtrit(n - 1, z * np.sqrt(n), tails) * spread / np.sqrt(n)
        return Estimate(float(bias + sign * z * spread), Interval(float(low), float(high)))

    sizes = np.abs(errors)
    return Agreement(
        n,
        Estimate(float(bias), studentised(errors, level)),
        Estimate(float(sizes.mean()), within(studentised(sizes, level), 0, np.inf)),
        limit(-1),
        limit(1),
    )
