"""How often the intervals of jaxssl hold the truth, and how often its paired test finds what is not there.

    python experiments/coverage.py

Scores are simulated, so that the truth is known: Dice-like ones (bounded, skewed to the left, with a failing few),
paired differences, AUROCs over patients, and patients met by three trainings. It prints the tables of
experiments/results/statistics.md, in some minutes on one core.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import tyro
from jaxtyping import Bool, Float
from scipy.integrate import quad
from scipy.special import ndtri, stdtrit
from scipy.stats import beta

from jaxssl.evaluate.statistics import (
    Interval,
    auroc_interval,
    bca_of,
    effect_size,
    paired_test,
    smallest_detectable,
    studentised,
)

PATIENTS = 10, 20, 50, 100
RESAMPLES = 2_000
GOOD, FAILED = (18, 3), (6, 6)
"""Beta distributions of a patient's Dice where the segmentation succeeds (.86 ± .07) and where it fails (.5 ± .14)."""
FAILED_BADLY = 2, 4
"""Of those who fail by more (.33 ± .18), so that few of them decide the mean."""
SAVED = 3, 5
"""Of the share of its error that one initialisation saves a patient, less a constant."""
ILL, WELL = (5, 2), (2, 3)
"""Of the probability a classifier gives those who are ill, 40 in 100, and those who are not."""

Draw = Callable[[np.random.Generator, int], Any]
Methods = dict[str, Callable[[Any], Interval]]
Outputs = tuple[Float[np.ndarray, "n"], Bool[np.ndarray, "n"]]


def main(simulations: int = 10_000, seed: int = 0) -> None:
    """Print coverage, what the paired test finds, and coverage of the effect size.

    Args:
        simulations: Of every figure; a fifth of them where there are several trainings.
        seed: Of all that is drawn.
    """
    coverage = partial(covered, simulations=simulations, seed=seed)
    rejections = partial(rejected, simulations=simulations, seed=seed)
    gain = partial(differences, constant=0.25)
    mean_gain = (1 - mean_dice(0.05)) * (mean_of(SAVED) - 0.25)
    sd_gain = gain(np.random.default_rng(seed), 1_000_000).std()
    skewed = quad(lambda x: beta.pdf(x, *ILL) * beta.cdf(x, *WELL), 0, 1)[0]

    print("### Intervals of 95%: how many in 100 hold the truth (median width)\n")
    head("scores", "interval")
    for failing in (0.02, 0.05, 0.1):
        coverage(f"Dice, {100 * failing:.0f}% fail", partial(dice, failing=failing), mean_dice(failing), OF_MEANS)
    badly = partial(dice, failing=0.05, failed=FAILED_BADLY)
    coverage("Dice, 5% fail badly", badly, mean_dice(0.05, FAILED_BADLY), OF_MEANS)
    coverage("difference of Dice", gain, mean_gain, OF_MEANS)
    for auroc in (0.85, 0.95):
        coverage(f"AUROC {auroc:.2f}, normal", partial(normal_outputs, auroc=auroc), auroc, OF_AUROCS)
    coverage(f"AUROC {skewed:.2f}, skewed", skewed_outputs, skewed, OF_AUROCS)
    for spread in (0.0, 0.01, 0.03):
        name = f"Dice, 3 trainings ± {spread:g}"
        coverage(name, partial(trainings, spread=spread), mean_dice(0.05), OF_TRAININGS, simulations=simulations // 5)

    print("\n### The paired test at .05: found in how many of 100\n")
    head("differences", "the truth")
    rejections("alike in distribution", "no difference", alike)
    rejections("skewed, of mean 0", "no difference", partial(differences, constant=mean_of(SAVED)))
    rejections("normal", "smallest detectable", lambda rng, n: rng.normal(smallest_detectable(1, n), 1, n))
    rejections(
        "skewed", "smallest detectable", lambda rng, n: gain(rng, n) - mean_gain + smallest_detectable(sd_gain, n)
    )

    print("\n### The effect size's interval of 95%\n")
    head("differences", "interval")
    hedges: Methods = {"noncentral t": lambda found: effect_size(found).interval}
    coverage("normal, 0.5 sd", lambda rng, n: rng.normal(0.5, 1, n), 0.5, hedges)
    coverage(f"difference of Dice, {mean_gain / sd_gain:.2f} sd", gain, mean_gain / sd_gain, hedges)


def mean_of(shape: tuple[float, float]) -> float:
    """Mean of a beta distribution."""
    return shape[0] / sum(shape)


def mean_dice(failing: float, failed: tuple[float, float] = FAILED) -> float:
    """The truth of `dice`."""
    return (1 - failing) * mean_of(GOOD) + failing * mean_of(failed)


def dice(
    rng: np.random.Generator, n: int, failing: float = 0.05, failed: tuple[float, float] = FAILED
) -> Float[np.ndarray, "n"]:
    """Dice of n patients, each of whom fails with probability `failing`."""
    return np.where(rng.random(n) < failing, rng.beta(*failed, n), rng.beta(*GOOD, n))


def differences(rng: np.random.Generator, n: int, constant: float) -> Float[np.ndarray, "n"]:
    """Gains of one initialisation over another: a share of each patient's error, so that those who fail gain most."""
    return (1 - dice(rng, n)) * (rng.beta(*SAVED, n) - constant)


def alike(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n"]:
    """Differences of two initialisations that are equally good: failing patients fail either, scores vary."""
    fails = rng.random(n) < 0.05
    one, other = (np.where(fails, rng.beta(*FAILED, n), rng.beta(*GOOD, n)) for _ in range(2))
    return one - other


def trainings(rng: np.random.Generator, n: int, spread: float) -> Float[np.ndarray, "n 3"]:
    """Dice of n patients in three trainings, which differ by `spread` on average and by .03 within each patient."""
    return dice(rng, n)[:, None] + rng.normal(0, spread, 3) + rng.normal(0, 0.03, (n, 3))


def normal_outputs(rng: np.random.Generator, n: int, auroc: float) -> Outputs:
    """Outputs of a classifier, normal among the ill and the well."""
    ill = both_classes(rng, n)
    return rng.normal(size=n) + np.sqrt(2) * ndtri(auroc) * ill, ill


def skewed_outputs(rng: np.random.Generator, n: int) -> Outputs:
    """Outputs of a classifier, skewed the other way among the ill than among the well."""
    ill = both_classes(rng, n)
    return np.where(ill, rng.beta(*ILL, n), rng.beta(*WELL, n)), ill


def both_classes(rng: np.random.Generator, n: int) -> Bool[np.ndarray, "n"]:
    """Who is ill, of patients among whom both kinds occur: others have no AUROC."""
    while True:
        ill = rng.random(n) < 0.4
        if 0 < ill.sum() < n:
            return ill


@lru_cache
def counts(n: int) -> Float[np.ndarray, "resample n"]:
    """How often a resample draws each patient, as a share of all it draws."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n


def percentile(values: Float[np.ndarray, "n"]) -> Interval:
    return Interval(*np.quantile(counts(len(values)) @ values, [0.025, 0.975]))


def student(values: Float[np.ndarray, "n"]) -> Interval:
    n = len(values)
    half = stdtrit(n - 1, 0.975) * values.std(ddof=1) / np.sqrt(n)
    return Interval(values.mean() - half, values.mean() + half)


def bca_of_mean(values: Float[np.ndarray, "n"]) -> Interval:
    """`bca` of a mean, all resamples at once."""
    n = len(values)
    return bca_of(values.mean(), counts(n) @ values, (values.sum() - values) / (n - 1))


def studentised_by_counts(values: Float[np.ndarray, "n"]) -> Interval:
    """The studentised bootstrap as textbooks have it."""
    n, centred = len(values), values - values.mean()
    shift = counts(n) @ centred
    low, high = np.quantile(shift / np.sqrt(counts(n) @ centred**2 - shift**2), [0.025, 0.975])
    return Interval(values.mean() - high * values.std(), values.mean() - low * values.std())


def bca_of_auroc(outputs: Outputs) -> Interval:
    """`bca` of an AUROC, all resamples at once."""
    scores, ill = outputs
    wins = (scores[ill][:, None] > scores[~ill]).astype(float)
    n, without = len(scores), np.ones((len(scores), len(scores))) - np.eye(len(scores))

    def weighted(weights: Float[np.ndarray, "resample n"]) -> Float[np.ndarray, "resample"]:
        pairs = weights[:, ill].sum(axis=1) * weights[:, ~ill].sum(axis=1)
        with np.errstate(invalid="ignore"):  # a resample without a class
            return np.sum(weights[:, ill] @ wins * weights[:, ~ill], axis=1) / pairs

    # Sums in another order must not tell equal AUROCs apart.
    return bca_of(wins.mean().round(12), weighted(counts(n)).round(12), weighted(without).round(12))


def score_of_auroc(outputs: Outputs) -> Interval:
    scores, ill = outputs
    return auroc_interval(float((scores[ill][:, None] > scores[~ill]).mean()), ill.sum(), (~ill).sum())


OF_MEANS: Methods = {
    "percentile": percentile,
    "BCa": bca_of_mean,
    "Student's t": student,
    "studentised, counts": studentised_by_counts,
    "**studentised, beta weights**": partial(studentised, resamples=RESAMPLES),
}
OF_AUROCS: Methods = {"BCa": bca_of_auroc, "**score**": score_of_auroc}
OF_TRAININGS: Methods = {
    "studentised, patients alone": lambda scores: studentised(scores.mean(axis=1), resamples=RESAMPLES),
    "**studentised, patients x trainings**": partial(studentised, resamples=RESAMPLES),
}


def head(*names: str) -> None:
    """Print the head of a table with a column for each number of patients."""
    print(f"| {' | '.join(names)} | {' | '.join(f'n = {n}' for n in PATIENTS)} |")
    print(f"|{'---|' * len(names)}{'--:|' * len(PATIENTS)}")


def row(cells: Iterable[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def covered(name: str, draw: Draw, truth: float, methods: Methods, simulations: int, seed: int) -> None:
    """Print a row for each method: how many intervals hold the truth; those that could not be made do not."""
    found = {n: np.empty((simulations, len(methods), 2)) for n in PATIENTS}
    for n, intervals in found.items():
        rng = np.random.default_rng((seed, n))
        for place in range(simulations):
            scores = draw(rng, n)
            intervals[place] = np.array([method(scores) for method in methods.values()])
    for place, method in enumerate(methods):
        row([name, method, *(cell(intervals[:, place], truth) for intervals in found.values())])


def cell(intervals: Float[np.ndarray, "simulation 2"], truth: float) -> str:
    """Coverage in percent, median width, and how many intervals could not be made, if any."""
    low, high = intervals.T
    unknown = np.isnan(low).mean()
    missing = f"; none in {100 * unknown:.1f}" if unknown else ""
    return f"{100 * np.mean((low <= truth) & (truth <= high)):.1f} ({np.nanmedian(high - low):.3f}{missing})"


def rejected(name: str, truth: str, draw: Draw, simulations: int, seed: int) -> None:
    """Print a row: how often the paired test finds a difference at .05."""
    shares = []
    for n in PATIENTS:
        rng = np.random.default_rng((seed, n))
        shares.append(np.mean([paired_test(draw(rng, n)) <= 0.05 for _ in range(simulations)]))
    row([name, truth, *(f"{100 * share:.1f}" for share in shares)])


if __name__ == "__main__":
    tyro.cli(main)
