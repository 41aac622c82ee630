"""Scores of predicted classes and of their probabilities, with their conventions for what is missing."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

BINS = 15
"""Of the expected calibration error, as Guo et al. 2017 have it."""

Truth = Integer[np.ndarray, "n"]
Probabilities = Float[np.ndarray, "n classes"]


class Reliability(NamedTuple):
    """What a reliability plot shows, bin by bin of the top probability: how many cases, how sure, how often right.

    The means of an empty bin are nan.

    Of four cases that were nine tenths sure half were right:

    >>> bins = Reliability(count=np.array([0, 4]), confidence=np.array([np.nan, 0.9]), accuracy=np.array([np.nan, 0.5]))
    >>> calibration_error(bins)
    0.4
    """

    count: Integer[np.ndarray, "bins"]
    confidence: Float[np.ndarray, "bins"]
    accuracy: Float[np.ndarray, "bins"]


def measures(truth: Truth, probabilities: Probabilities) -> dict[str, Any]:
    """All scores of cases whose class is known, ready for JSON; a case's answer is its most probable class.

    None stands for what these cases cannot say. Means over classes leave such classes out.

    Of four cases the third is taken for one of class 0, and one of four pairs is in the wrong order:

    >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    >>> found = measures(np.array([0, 0, 1, 1]), probabilities)
    >>> found["accuracy"], found["auroc"]
    (0.75, 0.75)
    """
    auroc, auprc = auroc_by_class(truth, probabilities), auprc_by_class(truth, probabilities)
    answers = probabilities.argmax(axis=1)
    return {
        "auroc": _mean(auroc),
        "auroc_by_class": auroc,
        "auprc": _mean(auprc),
        "auprc_by_class": auprc,
        "f1": macro_f1(answers, truth),
        "balanced_accuracy": balanced_accuracy(answers, truth),
        "accuracy": accuracy(answers, truth),
        "ece": calibration_error(reliability(truth, probabilities)),
    }


def accuracy(prediction: Integer[np.ndarray, "n"], truth: Truth) -> float:
    """Share of samples whose class is right.

    >>> accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    0.75
    """
    return float(np.mean(prediction == truth))


def balanced_accuracy(prediction: Integer[np.ndarray, "n"], truth: Truth) -> float:
    """Mean over the classes that occur in `truth` of the share of that class predicted right (its recall), as
    Brodersen et al. (2010) have it.

    Nine of ten are healthy, and all are called so:

    >>> balanced_accuracy(np.zeros(10, int), np.array([0] * 9 + [1]))
    0.5
    """
    return float(np.mean([np.mean(prediction[truth == code] == code) for code in np.unique(truth)]))


def macro_f1(prediction: Integer[np.ndarray, "n"], truth: Truth) -> float:
    """Mean over the classes that occur in `truth` of 2 TP / (2 TP + FP + FN).

    The mean of 4/5 and 2/3:

    >>> round(macro_f1(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])), 4)
    0.7333
    """
    return float(f1_score(truth, prediction, labels=np.unique(truth), average="macro"))


def auroc_by_class(truth: Truth, probabilities: Probabilities) -> list[float | None]:
    """Area under the ROC curve of each class against the rest: P(p_c of a case of c > that of another), ties half.

    None for a class that no case has, or every one. Hanley and McNeil (1982).

    A case of class 1 ranks between two others, and none is of class 2:

    >>> auroc_by_class(np.array([0, 0, 1]), np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]]))
    [0.5, 0.5, None]
    """
    return [None if one is None else float(roc_auc_score(*one)) for one in _against_the_rest(truth, probabilities)]


def mean_auroc(truth: Truth, probabilities: Probabilities) -> float:
    """Mean over classes of `auroc_by_class`, nan where no class has one: by ranks, as a bootstrap asks for thousands.

    With R the ranks of p_c among all cases, n those of class c and m the others: (sum of R - n (n + 1) / 2) / (n m).

    >>> mean_auroc(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]))
    0.75
    """
    has = truth[:, None] == np.arange(probabilities.shape[1])
    own = has.sum(axis=0)
    pairs = own * (len(truth) - own)
    above = np.sum(rankdata(probabilities, axis=0) * has, axis=0) - own * (own + 1) / 2
    return float(np.mean(above[pairs > 0] / pairs[pairs > 0])) if pairs.any() else float("nan")


def auprc_by_class(truth: Truth, probabilities: Probabilities) -> list[float | None]:
    """Average precision of each class against the rest: sum_k (R_k - R_k-1) P_k over falling thresholds on p_c.

    None for a class that no case has, or every one. By chance it is the share of cases that have the class.

    The two cases of a class come first and third of four: the mean of 1 and 2/3.

    >>> areas = auprc_by_class(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]))
    >>> [round(area, 4) for area in areas]
    [0.8333, 0.8333]
    """
    pairs = _against_the_rest(truth, probabilities)
    return [None if one is None else float(average_precision_score(*one)) for one in pairs]


def reliability(truth: Truth, probabilities: Probabilities, bins: int = BINS) -> Reliability:
    """How often the most probable class is right, in `bins` bins (low, high] of equal width of its probability
    (Guo et al. 2017).

    >>> bins = reliability(np.array([0, 1]), np.array([[0.75, 0.25], [0.75, 0.25]]), bins=2)
    >>> bins.count.tolist(), bins.confidence.tolist(), bins.accuracy.tolist()
    ([0, 2], [nan, 0.75], [nan, 0.5])
    """
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], top)
    count = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=each, minlength=bins) for each in (top, right))
    confidence, accuracy = (np.divide(s, count, out=np.full(bins, np.nan), where=count > 0) for s in sums)
    return Reliability(count, confidence, accuracy)


def calibration_error(bins: Reliability) -> float:
    """Expected calibration error: `sum_b n_b / n |accuracy_b - confidence_b|` (Guo et al. 2017).

    >>> calibration_error(reliability(np.array([0, 1]), np.array([[0.75, 0.25], [0.75, 0.25]])))
    0.25
    """
    gaps = np.where(bins.count > 0, np.abs(bins.accuracy - bins.confidence), 0.0)
    return float(np.dot(bins.count, gaps) / bins.count.sum())


def _against_the_rest(truth: Truth, probabilities: Probabilities) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Who has a class, and the probability of it, class by class; none where nobody has it, or everybody."""
    pairs = ((truth == code, probabilities[:, code]) for code in range(probabilities.shape[1]))
    return [(has, p) if 0 < has.sum() < len(has) else None for has, p in pairs]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
