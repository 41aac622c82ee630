"""Linear probe: multinomial logistic regression on frozen features (Alain and Bengio 2016), its penalty chosen on other
subjects."""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from jaxtyping import Float, Integer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from jaxssl.errors import UserError
from jaxssl.evaluate.metrics import accuracy, balanced_accuracy

# Strongest first: of penalties that do equally well on the validation subjects the strongest is kept.
L2_GRID = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)
ITERATIONS = 2000


@dataclass(frozen=True)
class Samples:
    """Frozen features of one split, with the class (0, 1, ...) and the subject of each.

    >>> Samples(np.zeros([2, 3]), np.array([0, -1]), np.array(["a", "b"]))
    Traceback (most recent call last):
    ValueError: samples without a label (-1) cannot be probed: leave them out
    """

    features: Float[np.ndarray, "n dim"]
    labels: Integer[np.ndarray, "n"]
    subjects: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.features) == len(self.labels) == len(self.subjects):
            raise ValueError(f"{len(self.features)} features, {len(self.labels)} labels, {len(self.subjects)} subjects")
        if np.min(self.labels, initial=0) < 0:
            raise ValueError("samples without a label (-1) cannot be probed: leave them out")
        if wrong := int(np.count_nonzero(~np.isfinite(self.features).all(axis=1))):
            raise UserError(
                f"The features of {wrong} of {len(self.features)} images are not finite: the encoder has diverged, and "
                "nothing can be learnt from it; pretrain with a lower optim.lr."
            )


@dataclass(frozen=True)
class Candidate:
    """One penalty that was tried: how it did on the validation subjects, and whether its fit had converged.

    >>> tried = Candidate(l2=1.0, validation_accuracy=0.9, converged=True), Candidate(0.1, 0.8, converged=True)
    >>> max(tried, key=lambda candidate: candidate.validation_accuracy).l2
    1.0
    """

    l2: float
    validation_accuracy: float
    converged: bool


@dataclass(frozen=True)
class LinearProbe:
    """Test result of the penalty that validation chose, and what it was chosen from.

    `probabilities` are those of the test samples; a class that training never showed has none.

    Features that are all alike are worth no more than one answer for all:

    >>> alike = (Samples(np.zeros([3, 1]), np.array([0, 0, 1]), np.full(3, subject)) for subject in "abc")
    >>> probe = linear_probe(*alike)
    >>> probe.accuracy == probe.chance, probe.balanced_accuracy
    (True, 0.5)
    """

    l2: float
    accuracy: float
    balanced_accuracy: float
    n: int
    chance: float
    converged: bool
    tried: tuple[Candidate, ...]
    probabilities: Float[np.ndarray, "test classes"] = field(repr=False, compare=False)


def linear_probe(
    train: Samples,
    validation: Samples,
    test: Samples,
    *,
    grid: tuple[float, ...] = L2_GRID,
    classes: int | None = None,
) -> LinearProbe:
    """Fit on `train`, choose the penalty on `validation`, open `test` once.

    Minimises mean cross-entropy + l2 / 2 ||W||^2 (the intercept is free) over features standardised by the training
    samples, so that `l2` means the same whatever the number of samples. The three splits must share no subject.
    `chance` is the share of the commonest class among the test samples: more than that one answer for all cannot have.
    `converged` is false
    when the chosen fit was cut off, and its numbers are then those of an unfinished fit. There are `classes`, as many
    as `train` shows if none.

    Where all penalties do equally well the strongest is kept:

    >>> told = (Samples(np.array([[-1.0], [1.0]]), np.array([0, 1]), np.full(2, subject)) for subject in "abc")
    >>> probe = linear_probe(*told)
    >>> probe.accuracy, probe.l2
    (1.0, 10.0)
    """
    _check_splits(train=train, validation=validation, test=test)
    if len(np.unique(train.labels)) < 2:
        raise UserError("A linear probe needs two classes among the training subjects: choose another target.")
    # float64, because lbfgs stalls on the rounding of float32 before it has converged.
    scaler = StandardScaler().fit(train.features.astype(np.float64))
    inputs, validation_inputs, test_inputs = (
        np.asarray(scaler.transform(split.features.astype(np.float64))) for split in (train, validation, test)
    )
    fits = [_fit(inputs, train.labels, l2) for l2 in grid]
    tried = tuple(
        Candidate(l2, accuracy(np.asarray(fit.predict(validation_inputs)), validation.labels), _converged(fit))
        for l2, fit in zip(grid, fits, strict=True)
    )
    chosen = int(np.argmax([candidate.validation_accuracy for candidate in tried]))
    predictions = np.asarray(fits[chosen].predict(test_inputs))
    probabilities = np.zeros((len(test.labels), classes or int(np.max(train.labels)) + 1))
    probabilities[:, fits[chosen].classes_] = fits[chosen].predict_proba(test_inputs)
    return LinearProbe(
        l2=grid[chosen],
        accuracy=accuracy(predictions, test.labels),
        balanced_accuracy=balanced_accuracy(predictions, test.labels),
        n=len(test.labels),
        chance=float(np.max(np.bincount(test.labels)) / len(test.labels)),
        converged=tried[chosen].converged,
        tried=tried,
        probabilities=probabilities,
    )


def _fit(inputs: Float[np.ndarray, "n dim"], labels: Integer[np.ndarray, "n"], l2: float) -> LogisticRegression:
    # scikit-learn minimises C * sum(cross-entropy) + 1/2 ||W||^2.
    return LogisticRegression(C=1 / (l2 * len(labels)), solver="lbfgs", max_iter=ITERATIONS).fit(inputs, labels)


def _converged(fit: LogisticRegression) -> bool:
    return bool(np.max(fit.n_iter_) < ITERATIONS)


def _check_splits(**splits: Samples) -> None:
    for name, split in splits.items():
        if not len(split.labels):
            raise UserError(f"A linear probe has no labelled {name} samples: give the {name} split more subjects.")
    for (name, one), (other_name, other) in combinations(splits.items(), 2):
        if shared := sorted(set(one.subjects.tolist()) & set(other.subjects.tolist())):
            raise UserError(f"Subject {shared[0]} is both in {name} and in {other_name}: split by subject.")
