"""The loss of classes against scikit-learn, its gradient by hand, and class weights against scikit-learn's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from jaxssl.objectives import classification_loss, inverse_frequency

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=3, size=(7, 3))
LABELS = np.array([0, 2, -1, 1, 2, -1, 0])
WEIGHTS = np.array([0.5, 2.0, 1.25])


def probabilities(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_it_is_the_weighted_log_loss_of_the_samples_that_have_a_label():
    known = LABELS >= 0
    expected = log_loss(
        LABELS[known], probabilities(LOGITS[known]), sample_weight=WEIGHTS[LABELS[known]], labels=[0, 1, 2]
    )
    found = classification_loss(jnp.asarray(LOGITS), jnp.asarray(LABELS), jnp.asarray(WEIGHTS))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_its_gradient_is_the_weighted_difference_of_probabilities_and_truth():
    """A softmax too many would shrink it; samples without a label pull at nothing."""
    known = (LABELS >= 0)[:, None]
    weight = np.where(known[:, 0], WEIGHTS[LABELS], 0)[:, None]
    expected = known * weight / weight.sum() * (probabilities(LOGITS) - np.eye(3)[LABELS])
    found = jax.grad(classification_loss)(jnp.asarray(LOGITS), jnp.asarray(LABELS), jnp.asarray(WEIGHTS))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_sure_and_right_answer_costs_nothing_and_a_sure_and_wrong_one_what_it_claims():
    sure = jnp.array([[50.0, 0.0], [0.0, 50.0]])
    assert float(classification_loss(sure, jnp.array([0, 1]), jnp.ones(2))) == pytest.approx(0, abs=1e-6)
    assert float(classification_loss(sure, jnp.array([1, 0]), jnp.ones(2))) == pytest.approx(50)


def test_nobody_with_a_label_costs_nothing_and_pulls_at_nothing():
    for labels, weights in ((jnp.full(4, -1), jnp.ones(3)), (jnp.full(4, 1), jnp.array([1.0, 0.0, 1.0]))):
        loss, gradient = jax.value_and_grad(classification_loss)(jnp.ones((4, 3)), labels, weights)
        assert float(loss) == 0
        np.testing.assert_array_equal(gradient, np.zeros((4, 3)))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=40))
def test_weights_are_scikit_learns_balanced_ones(labels):
    counts = np.bincount(labels, minlength=5)
    found = inverse_frequency(counts)
    occurring = np.flatnonzero(counts)
    expected = compute_class_weight("balanced", classes=occurring, y=np.array(labels))
    np.testing.assert_allclose(found[occurring], expected)
    assert (found[counts == 0] == 0).all()
    assert np.dot(found, counts) / counts.sum() == pytest.approx(1)
