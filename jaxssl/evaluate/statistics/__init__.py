"""How sure a figure is: intervals, paired tests, effect sizes, power and agreement, in plain numpy and scipy.

The unit is the patient. What several trainings say about one patient is averaged, or resampled beside the patients,
never counted as if each training had brought patients of its own. No value may be missing here: whoever leaves a
patient out says so. experiments/results/statistics.md has the measurements these choices rest on.
"""

from jaxssl.evaluate.statistics.agreement import Agreement, agreement
from jaxssl.evaluate.statistics.auroc import auroc_interval
from jaxssl.evaluate.statistics.bca import bca, bca_of
from jaxssl.evaluate.statistics.intervals import (
    ENOUGH,
    FEWEST,
    FEWEST_REPEATS,
    UNKNOWN,
    Estimate,
    Interval,
    over_seeds,
    studentised,
    within,
)
from jaxssl.evaluate.statistics.paired import effect_size, holm, paired_test, swap_test
from jaxssl.evaluate.statistics.power import smallest_detectable

__all__ = [
    "ENOUGH",
    "FEWEST",
    "FEWEST_REPEATS",
    "UNKNOWN",
    "Agreement",
    "Estimate",
    "Interval",
    "agreement",
    "auroc_interval",
    "bca",
    "bca_of",
    "effect_size",
    "holm",
    "over_seeds",
    "paired_test",
    "smallest_detectable",
    "studentised",
    "swap_test",
    "within",
]
