"""Scores against independent definitions, on ordinary and on hostile label maps."""

import numpy as np
import pytest
from scipy.spatial.distance import dice as dice_distance
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from jaxssl.evaluate.metrics import accuracy, balanced_accuracy, dice


def test_dice_of_random_volumes_equals_f1_and_one_minus_the_dice_distance():
    rng = np.random.default_rng(0)
    for shape in [(7, 11, 5), (1, 3, 2), (4, 9)]:
        truth, prediction = rng.integers(0, 4, (2, *shape), dtype=np.uint8)
        found = dice(prediction, truth, 3)
        assert found.shape == (3,)
        np.testing.assert_allclose(
            found, f1_score(truth.ravel(), prediction.ravel(), labels=[1, 2, 3], average=None, zero_division=1.0)
        )
        for code in (1, 2, 3):
            distance = dice_distance((prediction == code).ravel(), (truth == code).ravel())
            np.testing.assert_allclose(found[code - 1], 1 - distance)


def test_empty_structures_score_one_when_rightly_absent_and_zero_otherwise():
    truth, prediction = np.zeros((2, 3, 6, 5), np.uint8)
    truth[0, 0, 0] = 2
    prediction[0, 0, 1] = 3
    np.testing.assert_array_equal(dice(prediction, truth, 3), [1, 0, 0])
    np.testing.assert_array_equal(dice(truth, truth, 3), [1, 1, 1])
    np.testing.assert_array_equal(dice(np.zeros((0, 4, 4), np.uint8), np.zeros((0, 4, 4), np.uint8), 2), [1, 1])


def test_one_voxel_and_structures_cut_by_the_border():
    truth, prediction = np.zeros((2, 2, 4, 4), np.uint8)
    truth[1, 3, 3] = 1
    prediction[1, 2:, 2:] = 1
    assert dice(prediction, truth, 1)[0] == 2 * 1 / (4 + 1)
    truth[:, :, 0], prediction[:, :, :2] = 2, 2
    assert dice(prediction, truth, 2)[1] == 2 * 8 / (16 + 8)


def test_a_volume_is_scored_as_one_not_as_the_mean_of_its_slices():
    truth, prediction = np.zeros((2, 2, 10, 10), np.uint8)
    truth[0], prediction[0] = 1, 1
    prediction[1, 0, 0] = 1
    assert dice(prediction, truth, 1)[0] == 200 / 201


def test_counts_do_not_wrap_in_small_integers():
    assert dice(np.full((9, 90, 90), 1, np.uint8), np.full((9, 90, 90), 1, np.uint8), 1)[0] == 1


def test_label_maps_of_different_shape_are_refused_even_where_numpy_would_broadcast():
    with pytest.raises(ValueError, match="differ in shape"):
        dice(np.ones((1, 4, 4), np.uint8), np.ones((3, 4, 4), np.uint8), 1)


def test_accuracies_equal_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    truth = rng.choice(4, 200, p=[0.6, 0.2, 0.15, 0.05])
    prediction = np.where(rng.random(200) < 0.5, truth, rng.integers(0, 4, 200))
    assert accuracy(prediction, truth) == accuracy_score(truth, prediction)
    assert balanced_accuracy(prediction, truth) == pytest.approx(balanced_accuracy_score(truth, prediction))


def test_balanced_accuracy_leaves_out_a_class_that_never_occurs():
    assert balanced_accuracy(np.array([0, 2, 1, 1]), np.array([0, 0, 1, 1])) == 0.75
