"""The interval of a mean over patients, and of a mean over patients and trainings."""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

ENOUGH = 30
"""Patients below which an interval is too narrow to be relied on, whichever method made it."""


FEWEST = 5
"""Patients, below which the resamples are so alike or so far apart that the ends mean nothing."""

FEWEST_REPEATS = 3
"""Trainings below which their spread is unknown, and an interval speaks of patients alone."""


class Interval(NamedTuple):
    """Two ends, both nan where the data cannot say: fewer than `FEWEST` patients, or no spread among them.

    >>> studentised(np.array([0.8, 0.9, 0.7, 0.6]))
    Interval(low=nan, high=nan)
    """

    low: float
    high: float


class Estimate(NamedTuple):
    """A figure and its interval.

    Ten patients gain from 0 to 9, which is more than nothing:

    >>> gains = np.arange(10.0)
    >>> Estimate(gains.mean(), studentised(gains)).interval.low > 0
    True
    """

    value: float
    interval: Interval


UNKNOWN = Interval(float("nan"), float("nan"))


def studentised(
    scores: Float[np.ndarray, "subject"] | Float[np.ndarray, "subject repeat"],
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Studentised bootstrap interval of the mean of `scores`: one a subject, or one a subject and repeat.

    With m the mean and se² = var(subjects' means) / subjects + var(repeats' means) / repeats, and with m*, se* the
    same under random weights, the ends are m - q se at the upper and the lower quantile q of (m* - m) / se*.

    Without repeats, or with fewer than `FEWEST_REPEATS`, it says where the mean over more such patients lies, for these
    trained networks; with repeats (label subsets, or seeds) where it lies over more patients and more trainings. Every
    training meets the same patients, so the two are crossed: each has weights of its own, and a score weighs their
    product. What patient and training do together stands in both terms of se², which errs on the wide side.

    Weights are Beta(1/2, 3/2) in place of counts (A. B. Owen, arXiv 2508.10083): of the mean, variance and skewness
    of counts, but never 0, so that no resample of a few patients is without spread.

    Patients from 0 to 9 have the mean 4.5 and se 0.96, and a t interval from 2.3 to 6.7:

    >>> [round(end, 1) for end in studentised(np.arange(10.0))]
    [2.2, 6.8]
    """
    scores = complete(scores)
    if len(scores) < FEWEST:
        return UNKNOWN
    table = scores.reshape(len(scores), -1)
    if table.shape[1] < FEWEST_REPEATS:
        table = table.mean(axis=1, keepdims=True)
    mean = table.mean()
    centred = table - mean
    error = _mean_and_error(centred, *(np.full((1, n), 1 / n) for n in table.shape))[1][0]
    # Equal scores still differ from their mean, by rounding.
    if error <= 1e-12 * np.abs(table).max():
        return UNKNOWN
    shifts, errors = _mean_and_error(
        centred, *(_weights(resamples, n, seed, factor) for factor, n in enumerate(table.shape))
    )
    low, high = np.quantile(shifts / errors, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(mean - high * error), float(mean - low * error))


def within(interval: Interval, low: float, high: float) -> Interval:
    """The part of an interval that is possible: a bootstrap knows nothing of the ends of a scale.

    >>> within(Interval(-0.2, 0.7), 0, 1)
    Interval(low=0.0, high=0.7)
    """
    return Interval(*np.clip(interval, low, high).tolist())


def over_seeds(
    scores: Float[np.ndarray, "subject run"], subsets: Sequence[Hashable]
) -> Float[np.ndarray, "subject subset"]:
    """Scores averaged over the runs of each label subset, which `subsets` names for each run, in order of appearance.

    A seed is nested in its subset: resampled subsets carry the spread of their seeds along, while runs resampled one
    by one would pass for as many subsets.

    Two runs on the labels of subset a, one on those of b:

    >>> over_seeds(np.array([[0.0, 2.0, 5.0]]), ["a", "a", "b"]).tolist()
    [[1.0, 5.0]]
    """
    members = [[name == subset for name in subsets] for subset in dict.fromkeys(subsets)]
    return np.stack([complete(scores)[:, runs].mean(axis=1) for runs in members], axis=1)


def complete(scores: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Scores in double precision, none of them missing: a patient left out silently would flatter the mean."""
    scores = np.asarray(scores, np.float64)
    if not np.isfinite(scores).all():
        raise ValueError("scores are missing or infinite: leave those patients out of every run, and say how many")
    return scores


def _mean_and_error(
    centred: Float[np.ndarray, "subject repeat"],
    of_subject: Float[np.ndarray, "resample subject"],
    of_repeat: Float[np.ndarray, "resample repeat"],
) -> tuple[Float[np.ndarray, "resample"], Float[np.ndarray, "resample"]]:
    """Weighted mean of a table and its standard error, for each resample's weights."""
    columns = of_subject @ centred
    mean = np.sum(of_repeat * columns, axis=1)
    # A subject's mean is squared before it is weighted: products of two repeats need no array of resample x subject.
    products = np.einsum("sj,sk->sjk", centred, centred).reshape(len(centred), -1)
    squares = np.einsum("bj,bk->bjk", of_repeat, of_repeat).reshape(len(of_repeat), -1)
    between_rows = np.maximum(np.sum(squares * (of_subject @ products), axis=1) - mean**2, 0)
    between_columns = np.sum(of_repeat * (columns - mean[:, None]) ** 2, axis=1)
    return mean, np.sqrt(between_rows / len(centred) + between_columns / centred.shape[1])


@lru_cache(maxsize=8)
def _weights(resamples: int, n: int, seed: int, factor: int) -> Float[np.ndarray, "resample n"]:
    """Weights that add up to 1 in each resample; kept, since the tables of a report share their patients."""
    drawn = np.random.default_rng((seed, factor)).beta(0.5, 1.5, (resamples, n))
    weights = drawn / drawn.sum(axis=1, keepdims=True)
    weights.flags.writeable = False
    return weights
