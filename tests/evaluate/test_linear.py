"""The linear probe against scikit-learn used directly, and its choice of penalty."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jaxssl.errors import UserError
from jaxssl.evaluate import linear
from jaxssl.evaluate.linear import Samples, linear_probe


def samples(name, seed, n=60, dim=6, classes=3, spread=1.0, scale=1.0):
    """`n` points round one corner a class, five a subject."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n, p=[0.5, 0.3, 0.2][:classes])
    features = 3 * np.eye(classes, dim)[labels] + spread * rng.normal(size=(n, dim))
    return Samples(scale * features.astype(np.float32), labels, np.array([f"{name}{i // 5}" for i in range(n)]))


def direct(train, other, l2):
    pipeline = make_pipeline(
        StandardScaler(), LogisticRegression(C=1 / (l2 * len(train.labels)), max_iter=5000, tol=1e-8)
    )
    return pipeline.fit(train.features.astype(float), train.labels).predict(other.features.astype(float))


def test_separable_classes_are_told_apart():
    train, validation, test = (samples(name, seed, spread=0.1) for seed, name in enumerate("abc"))
    found = linear_probe(train, validation, test)
    assert found.accuracy == found.balanced_accuracy == 1.0
    assert found.n == 60
    assert found.converged
    assert found.chance == pytest.approx(np.mean(test.labels == 0))


def test_equals_scikit_learn_with_the_penalty_that_validation_prefers():
    train, validation, test = (samples(name, 10 + seed, spread=2.0) for seed, name in enumerate("abc"))
    found = linear_probe(train, validation, test)
    by_validation = {l2: accuracy_score(validation.labels, direct(train, validation, l2)) for l2 in linear.L2_GRID}
    assert [(tried.l2, tried.validation_accuracy) for tried in found.tried] == list(by_validation.items())
    best = max(by_validation.values())
    assert found.l2 == max(l2 for l2, value in by_validation.items() if value == best)
    predictions = direct(train, test, found.l2)
    assert found.accuracy == accuracy_score(test.labels, predictions)
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(test.labels, predictions))


def test_the_penalty_is_that_of_the_stated_objective():
    """Mean cross-entropy + l2 / 2 ||W||^2, minimised here by another optimiser from its plain formula."""
    train = samples("a", 5, n=40, dim=3, spread=1.5)
    inputs = StandardScaler().fit_transform(train.features.astype(float))

    def objective(flat):
        weights, intercept = flat[:9].reshape(3, 3), flat[9:]
        logits = inputs @ weights.T + intercept
        picked = logits[np.arange(40), train.labels]
        return np.mean(np.log(np.exp(logits).sum(1)) - picked) + 0.1 / 2 * np.sum(weights**2)

    fit = linear._fit(inputs, train.labels, 0.1)
    best = minimize(objective, np.zeros(12), method="BFGS", options={"gtol": 1e-7}).x
    np.testing.assert_allclose(fit.coef_, best[:9].reshape(3, 3), atol=1e-3)


def test_validation_not_test_chooses():
    train, validation, test = (samples(name, 20 + seed, spread=2.5, dim=30) for seed, name in enumerate("abc"))
    scores = {}
    for l2 in linear.L2_GRID:
        scores[l2] = linear_probe(train, validation, test, grid=(l2,)).accuracy
    chosen = linear_probe(train, validation, test)
    other_test = dataclasses.replace(test, labels=np.roll(test.labels, 7))
    assert linear_probe(train, validation, other_test).tried == chosen.tried
    assert chosen.accuracy == scores[chosen.l2]
    assert len(set(scores.values())) > 1


def test_the_scale_of_features_does_not_matter_and_a_repeat_is_equal():
    plain = [samples(name, 30 + seed, spread=2.0) for seed, name in enumerate("abc")]
    large = [samples(name, 30 + seed, spread=2.0, scale=1024.0) for seed, name in enumerate("abc")]
    assert linear_probe(*plain) == linear_probe(*plain) == linear_probe(*large)


def test_standardisation_sees_the_training_samples_only():
    """Test features far off centre would, were they standardised among themselves, be classed as well as before."""
    train, validation, test = (samples(name, 40 + seed, spread=0.1) for seed, name in enumerate("abc"))
    moved = dataclasses.replace(test, features=test.features + np.float32([9, 0, 0, 0, 0, 0]))
    assert linear_probe(train, validation, test).accuracy == 1.0
    found = linear_probe(train, validation, moved)
    assert found.accuracy == found.chance == np.mean(test.labels == 0)


def test_a_fit_that_was_cut_off_is_reported(monkeypatch):
    train, validation, test = (samples(name, 50 + seed, spread=2.0) for seed, name in enumerate("abc"))
    assert all(tried.converged for tried in linear_probe(train, validation, test).tried)
    monkeypatch.setattr(linear, "ITERATIONS", 2)
    with pytest.warns(UserWarning, match="failed to converge"):
        assert not linear_probe(train, validation, test, grid=(1e-4,)).converged


def test_a_class_that_training_never_showed_counts_as_wrong():
    train, validation, test = (samples(name, 60 + seed, spread=0.1) for seed, name in enumerate("abc"))
    known = train.labels < 2
    few = Samples(train.features[known], train.labels[known], train.subjects[known])
    assert linear_probe(few, validation, test, grid=(1e-3,)).accuracy == np.mean(test.labels < 2)


def test_a_subject_in_two_splits_is_refused_by_name():
    train, validation, test = (samples(name, 70 + seed) for seed, name in enumerate("abc"))
    leaking = dataclasses.replace(test, subjects=np.where(test.subjects == "c3", "a3", test.subjects))
    with pytest.raises(UserError, match="Subject a3 is both in train and in test"):
        linear_probe(train, validation, leaking)


def test_features_of_a_diverged_encoder_are_refused():
    train = samples("a", 80)
    train.features[7:9, 2] = np.nan, np.inf
    with pytest.raises(UserError, match="2 of 60 images are not finite"):
        dataclasses.replace(train)


def test_one_class_empty_splits_and_missing_labels_are_refused():
    train, validation, test = (samples(name, 80 + seed) for seed, name in enumerate("abc"))
    with pytest.raises(UserError, match="two classes"):
        linear_probe(dataclasses.replace(train, labels=np.ones(60, int)), validation, test)
    with pytest.raises(UserError, match="no labelled validation samples"):
        linear_probe(train, Samples(np.zeros((0, 6)), np.zeros(0, int), np.zeros(0, str)), test)
    with pytest.raises(ValueError, match="without a label"):
        dataclasses.replace(train, labels=train.labels - 1)
    with pytest.raises(ValueError, match="59 labels"):
        dataclasses.replace(train, labels=train.labels[1:])
