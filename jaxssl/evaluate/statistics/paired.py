"""Two initialisations on the same patients: is there a difference, and how large is it beside its spread."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import gammaln, nctdtrinc

from jaxssl.evaluate.statistics.intervals import UNKNOWN, Estimate, Interval, complete


def paired_test(differences: Float[np.ndarray, "subject"], resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p of the hypothesis that either initialisation might as well have had the other's scores.

    Under it each patient's difference is as likely with the other sign (Fisher 1935). p is the share of sign patterns
    whose `|t| = |m| / (s / sqrt(n))` is at least the one found: of all 2^n where those are no more than `resamples`,
    else of as many random ones and the one found. Flips leave Σd² as it is, so that `|Σd|` puts patterns in the order
    of `|t|`.

    All of five patients are better: of 32 patterns this one and its opposite are as extreme.

    >>> float(paired_test(np.array([1.0, 2.0, 3.0, 4.0, 5.0])))
    0.0625
    """
    differences = complete(differences)
    sums = np.abs(_patterns(len(differences), resamples, seed) @ differences)
    return _share(sums, abs(differences.sum()), exhaustive=_all_fit(len(differences), resamples))


def swap_test(
    measure: Callable[[Bool[np.ndarray, "subject"]], float], subjects: int, resamples: int = 2_000, seed: int = 0
) -> float:
    """`paired_test` of a measure that is no mean over patients, such as the difference of two AUROCs.

    `measure` gets the patients whose outputs the two initialisations swap, and gives the difference then.

    Where the measure is a mean after all, both agree:

    >>> gains = np.array([1.0, 2.0, 3.0, 4.0, -1.0])
    >>> bool(swap_test(lambda swapped: np.where(swapped, -gains, gains).mean(), subjects=5) == paired_test(gains))
    True
    """
    swapped = _patterns(subjects, resamples, seed) < 0
    found = np.abs([measure(pattern) for pattern in swapped])
    return _share(found, abs(measure(np.zeros(subjects, bool))), exhaustive=_all_fit(subjects, resamples))


def holm(p: Sequence[float]) -> Float[np.ndarray, "test"]:
    """Holm's adjusted p of a family of tests: max over j <= i of min(1, (k - j) p_(j)), j = 0 .. k - 1 by size
    (Holm 1979).

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p, np.float64)
    order = np.argsort(raw)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)), 1)
    return adjusted


def effect_size(differences: Float[np.ndarray, "subject"], level: float = 0.95) -> Estimate:
    """Hedges' g of paired scores: J m / s, with m and s the mean and sd of the differences (Hedges 1981).

    J = Γ(k/2) / (sqrt(k/2) Γ((k - 1)/2)), k = n - 1, takes off the bias of m / s in small samples. The interval
    holds every effect whose noncentral t has t = sqrt(n) m / s within its central `level`, which is exact for normal
    differences. Nan below three patients, or where all differ alike.

    The mean 2 is twice the sd, and J of three patients is 1 / sqrt(pi):

    >>> round(effect_size(np.array([1.0, 2.0, 3.0])).value, 4)
    1.1284
    """
    differences = complete(differences)
    n = len(differences)
    spread = differences.std(ddof=1) if n > 2 else 0.0
    if spread <= 1e-12 * np.abs(differences).max(initial=0):
        return Estimate(float("nan"), UNKNOWN)
    freedom, ratio = n - 1, differences.mean() / spread
    correction = np.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    low, high = nctdtrinc(freedom, [(1 + level) / 2, (1 - level) / 2], np.sqrt(n) * ratio) / np.sqrt(n)
    return Estimate(float(correction * ratio), Interval(float(correction * low), float(correction * high)))


def _share(found: Float[np.ndarray, "pattern"], observed: float, exhaustive: bool) -> float:
    """Share of the patterns at least as extreme as what was observed, which random ones do not hold by themselves."""
    # Sums of the same numbers in another order differ by rounding.
    extreme = np.count_nonzero(found >= observed * (1 - 1e-12))
    return extreme / len(found) if exhaustive else (extreme + 1) / (len(found) + 1)


def _all_fit(n: int, resamples: int) -> bool:
    return 2**n <= resamples


@lru_cache(maxsize=8)
def _patterns(n: int, resamples: int, seed: int) -> Float[np.ndarray, "pattern subject"]:
    """Signs ±1 of each patient: every pattern where all fit, else random ones; kept, since tables share their n."""
    if _all_fit(n, resamples):
        negative = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    else:
        negative = np.random.default_rng(seed).integers(0, 2, (resamples, n))
    signs = 1.0 - 2.0 * negative
    signs.flags.writeable = False
    return signs
