"""Scores of classes against scikit-learn, by hand, and what is said where there is nothing to say."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score
from sklearn.preprocessing import label_binarize

from jaxssl.evaluate.metrics import (
    accuracy,
    auprc_by_class,
    auroc_by_class,
    balanced_accuracy,
    calibration_error,
    macro_f1,
    mean_auroc,
    measures,
    reliability,
)


def drawn(seed, n=80, classes=4, sharpness=1.0):
    """Probabilities that know something of the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, n, p=rng.dirichlet(np.full(classes, 5)))
    logits = sharpness * (np.eye(classes)[truth] + rng.normal(size=(n, classes)))
    return truth, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.parametrize(("seed", "classes"), [(0, 2), (1, 3), (2, 5)])
def test_every_measure_is_scikit_learns(seed, classes):
    truth, probabilities = drawn(seed, classes=classes)
    assert len(np.unique(truth)) == classes
    found, answers = measures(truth, probabilities), probabilities.argmax(1)
    binary = np.stack([truth == code for code in range(classes)], axis=1)
    assert found["auroc"] == pytest.approx(roc_auc_score(binary, probabilities, average="macro"))
    assert found["auprc"] == pytest.approx(average_precision_score(binary, probabilities, average="macro"))
    if classes > 2:
        assert found["auroc"] == pytest.approx(roc_auc_score(truth, probabilities, multi_class="ovr"))
        np.testing.assert_array_equal(binary, label_binarize(truth, classes=range(classes)))
    assert found["f1"] == pytest.approx(f1_score(truth, answers, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, answers))
    assert found["accuracy"] == accuracy_score(truth, answers)
    assert json.loads(json.dumps(found)) == found


def test_the_area_is_the_chance_of_a_higher_probability_and_ties_count_half():
    truth = np.array([0, 0, 1, 1, 1])
    p = np.array([0.1, 0.4, 0.4, 0.9, 0.2])
    pairs = [0.5 if a == b else float(a > b) for a in p[truth == 1] for b in p[truth == 0]]
    area = auroc_by_class(truth, np.stack([1 - p, p], axis=1))
    assert area == pytest.approx([np.mean(pairs), np.mean(pairs)])
    # Thresholds .9, .4, .2: recall 1/3, 2/3, 1 at precision 1, 2/3, 3/4.
    assert auprc_by_class(truth, np.stack([1 - p, p], axis=1))[1] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12))
def test_the_mean_area_by_ranks_is_that_of_scikit_learn_with_ties_and_without_classes(cases):
    """Few cases of few values: many tie, and classes that nobody has or everybody are in no mean."""
    truth, probabilities = np.array([case[0] for case in cases]), np.array([(*case[1:], 3) for case in cases]) / 6
    found = measures(truth, probabilities)["auroc"]
    by_ranks = mean_auroc(truth, probabilities)
    assert np.isnan(by_ranks) if found is None else by_ranks == pytest.approx(found)


def test_a_class_that_nobody_has_is_none_and_left_out_of_the_means():
    truth, three = drawn(3, classes=3)
    four = np.insert(three, 1, 0.0, axis=1)
    moved = np.where(truth > 0, truth + 1, truth)
    whole, found = measures(truth, three), measures(moved, four)
    assert found["auroc_by_class"][1] is None
    assert found["auprc_by_class"][1] is None
    assert [v for v in found["auroc_by_class"] if v is not None] == whole["auroc_by_class"]
    for name in ("auroc", "auprc", "f1", "balanced_accuracy", "accuracy", "ece"):
        assert found[name] == pytest.approx(whole[name])


def test_a_class_that_nobody_has_but_is_answered_costs_those_who_are_answered_so():
    truth, answers = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    assert macro_f1(answers, truth) == pytest.approx((2 / 3 + 1) / 2)
    assert balanced_accuracy(answers, truth) == 0.75
    assert accuracy(answers, truth) == 0.75


def test_cases_of_one_class_have_no_area():
    found = measures(np.zeros(4, int), np.full((4, 2), 0.5))
    assert found["auroc"] is found["auprc"] is None
    assert found["auroc_by_class"] == found["auprc_by_class"] == [None, None]
    assert found["accuracy"] == 1.0


@pytest.mark.parametrize("bins", [15, 4])
def test_the_bins_are_scikit_learns_and_the_error_their_weighted_gap(bins):
    truth, probabilities = drawn(5, n=300, classes=3, sharpness=2.0)
    right, top = probabilities.argmax(1) == truth, probabilities.max(1)
    found = reliability(truth, probabilities, bins)
    shown = found.count > 0
    for mine, theirs in zip(
        (found.accuracy, found.confidence), calibration_curve(right, top, n_bins=bins, strategy="uniform"), strict=True
    ):
        np.testing.assert_allclose(mine[shown], theirs)
        assert np.isnan(mine[~shown]).all()
    edges = np.linspace(0, 1, bins + 1)
    inside = [(top > low) & (top <= high) for low, high in pairwise(edges)]
    assert found.count.tolist() == [each.sum() for each in inside]
    gaps = [abs(right[each].mean() - top[each].mean()) * each.mean() for each in inside if each.any()]
    assert calibration_error(found) == pytest.approx(sum(gaps))
    assert measures(truth, probabilities)["ece"] == calibration_error(reliability(truth, probabilities, 15))


def test_calibrated_answers_have_no_error_and_sure_wrong_ones_all_of_it():
    truth = np.array([0, 0, 0, 1])
    assert calibration_error(reliability(truth, np.tile([0.75, 0.25], (4, 1)))) == pytest.approx(0)
    assert calibration_error(reliability(np.ones(4, int), np.tile([1.0, 0.0], (4, 1)))) == 1.0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.permutations(range(4)))
def test_measures_do_not_depend_on_the_order_of_cases_or_the_names_of_classes(seed, names):
    truth, probabilities = drawn(seed, n=20)
    order = np.random.default_rng(seed).permutation(20)
    found = measures(truth, probabilities)
    again = measures(np.array(names)[truth][order], probabilities[:, np.argsort(names)][order])
    for name in ("auroc", "auprc", "f1", "balanced_accuracy", "accuracy", "ece"):
        assert again[name] == pytest.approx(found[name])
