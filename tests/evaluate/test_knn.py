"""kNN against a published value, a plain loop, and its own laws."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.errors import UserError
from jaxssl.evaluate import knn
from jaxssl.evaluate.knn import knn_accuracy


def wave(n, d, phase):
    return np.sin(0.37 * np.arange(n * d).reshape(n, d) + phase).astype(np.float32)


def naive(train, train_labels, test, k, temperature):
    """One query at a time in float64, straight from the definition."""
    train, test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train.astype(float), test.astype(float)))
    votes = np.zeros((len(test), train_labels.max() + 1))
    for row, query in enumerate(test):
        similarities = train @ query
        for near in np.argsort(-similarities, kind="stable")[:k]:
            votes[row, train_labels[near]] += np.exp((similarities[near] - similarities.max()) / temperature)
    return votes


def test_golden_value_of_dino():
    found = knn_accuracy(wave(60, 8, 0), np.arange(60) % 5, wave(100, 8, 2), np.arange(100) % 5, k=10, temperature=0.07)
    assert found.top1 == pytest.approx(0.21, abs=1e-9)
    votes = naive(wave(60, 8, 0), np.arange(60) % 5, wave(100, 8, 2), 10, 0.07)
    np.testing.assert_array_equal(found.predictions, votes.argmax(1))


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (7, 0.07), (20, 1.0), (50, 1e-3)])
def test_equals_the_plain_loop(k, temperature):
    rng = np.random.default_rng(k)
    train, test = rng.normal(size=(50, 6)), rng.normal(size=(33, 6))
    labels = rng.integers(0, 4, 50)
    expected = naive(train, labels, test, k, temperature).argmax(1)
    truth = rng.integers(0, 4, 33)
    found = knn_accuracy(train, labels, test, truth, k=k, temperature=temperature)
    np.testing.assert_array_equal(found.predictions, expected)
    assert found.top1 == np.mean(expected == truth)


@pytest.mark.parametrize("numbers", [1, 5 * 40, 7 * 40, 33 * 40])
def test_the_size_of_a_block_changes_nothing(monkeypatch, numbers):
    rng = np.random.default_rng(3)
    train, test, labels = rng.normal(size=(40, 5)), rng.normal(size=(33, 5)), rng.integers(0, 3, 40)
    whole = knn_accuracy(train, labels, test, labels[:33], k=9, temperature=0.1)
    monkeypatch.setattr(knn, "NUMBERS", numbers)
    blocked = knn_accuracy(train, labels, test, labels[:33], k=9, temperature=0.1)
    np.testing.assert_array_equal(blocked.predictions, whole.predictions)


def test_temporary_memory_follows_the_block_not_the_number_of_queries():
    shapes = {"temperature": 0.07, "k": 5, "classes": 3, "block": 16}

    def temporary(queries):
        arguments = (jnp.zeros((512, 8)), jnp.zeros(512, int), jnp.zeros((queries, 8)))
        return knn._votes.lower(*arguments, **shapes).compile().memory_analysis().temp_size_in_bytes

    assert temporary(4096) - temporary(1024) < 3072 * 512 * 4 / 8


def test_scale_and_half_precision_of_features_do_not_matter():
    rng = np.random.default_rng(4)
    train, test, labels = rng.normal(size=(40, 16)), rng.normal(size=(30, 16)), rng.integers(0, 3, 40)
    low = [np.asarray(jnp.asarray(x, jnp.bfloat16)) for x in (train, test)]
    exact = [np.asarray(x, np.float32) * 1e3 for x in low]
    expected = knn_accuracy(exact[0], labels, exact[1], labels[:30], k=11, temperature=0.07)
    found = knn_accuracy(low[0], labels, low[1], labels[:30], k=11, temperature=0.07)
    np.testing.assert_array_equal(found.predictions, expected.predictions)


def test_ties_go_to_the_first_sample_and_to_the_lowest_class():
    same = np.ones((4, 3), np.float32)
    first = knn_accuracy(same, np.array([2, 1, 0, 0]), same[:1], np.array([2]), k=1, temperature=0.07)
    assert first.predictions.tolist() == [2]
    lowest = knn_accuracy(same, np.array([2, 1, 0, 0]), same[:1], np.array([1]), k=2, temperature=0.07)
    assert lowest.predictions.tolist() == [1]


def test_a_feature_of_nothing_but_zeros_gives_no_nan():
    train = np.array([[0, 0], [1, 0]], np.float32)
    found = knn_accuracy(train, np.array([0, 1]), np.array([[2, 0], [0, 0]]), np.array([1, 0]), k=1, temperature=0.07)
    assert found.predictions.tolist() == [1, 0]


def test_more_neighbours_than_samples_is_refused():
    with pytest.raises(UserError, match="k=5 neighbours of 4 training samples"):
        knn_accuracy(np.eye(4), np.arange(4), np.eye(4), np.arange(4), k=5, temperature=0.07)


def test_unlabelled_samples_are_refused():
    with pytest.raises(ValueError, match="without a label"):
        knn_accuracy(np.eye(4), np.array([0, 1, -1, 0]), np.eye(4), np.arange(4), k=2, temperature=0.07)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(number):
    """They would be answered with the lowest class, and some of those answers be right."""
    wrong = np.eye(4)
    wrong[2, 1] = number
    for train, test in ((wrong, np.eye(4)), (np.eye(4), wrong)):
        with pytest.raises(ValueError, match="not finite"):
            knn_accuracy(train, np.arange(4), test, np.arange(4), k=2, temperature=0.07)
