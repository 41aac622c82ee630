"""The overlap of a map with the mask: by hand, by brute force and by laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from jaxssl.evaluate.saliency.overlap import overlap

SHAPE = (5, 4)
MAPS = arrays(np.float64, SHAPE, elements=st.integers(0, 6).map(float))
"""Few values, so that many are equal."""
MASKS = arrays(np.bool_, SHAPE).filter(lambda mask: mask.any())


def by_brute_force(map, mask):
    """Pixel by pixel, from the definitions."""
    pairs = list(zip(map.ravel().tolist(), mask.ravel().tolist(), strict=True))
    largest = sorted((value for value, _ in pairs), reverse=True)
    threshold = largest[sum(inside for _, inside in pairs) - 1]
    brightest = [value >= threshold and value > 0 for value, _ in pairs]
    dice = f1_score([inside for _, inside in pairs], brightest, zero_division=0)  # type: ignore[arg-type]  # a number, as its manual has it
    total = sum(value for value, _ in pairs)
    energy = sum(value for value, inside in pairs if inside) / total if total else 0.0
    tops = [inside for value, inside in pairs if value == largest[0] > 0]
    return dice, energy, sum(tops) / len(tops) if tops else 0.0, sum(inside for _, inside in pairs) / len(pairs)


@given(MAPS, MASKS)
def test_all_are_as_defined(map, mask):
    assert overlap(map, mask) == pytest.approx(by_brute_force(map, mask), abs=1e-12)


@given(MAPS, MASKS, st.floats(1e-30, 1e30))
def test_laws(map, mask, factor):
    found = overlap(map, mask)
    assert all(0 <= score <= 1 for score in found)
    assert overlap(map * factor, mask) == pytest.approx(found, abs=1e-9)
    assert overlap(map[::-1, ::-1], mask[::-1, ::-1]) == pytest.approx(found, abs=1e-12)
    # Dice and pointing go by rank alone.
    squared = overlap(map**2, mask)
    assert (squared.dice, squared.pointing) == pytest.approx((found.dice, found.pointing))
    # No mask's energy exceeds that of a larger one.
    assert overlap(map, mask | (map > 3)).energy >= found.energy - 1e-12


@given(MASKS)
def test_the_mask_itself_scores_one_and_its_complement_nothing(mask):
    assert overlap(mask.astype(float), mask)[:3] == (1, 1, 1)
    assert overlap((~mask).astype(float), mask)[:3] == (0, 0, 0)


@given(MASKS)
def test_a_map_of_nothing_scores_zero_and_a_flat_one_what_chance_gives(mask):
    assert overlap(np.zeros(SHAPE), mask)[:3] == (0, 0, 0)
    share = mask.mean()
    flat = overlap(np.full(SHAPE, 0.3), mask)
    assert flat == pytest.approx((2 * share / (1 + share), share, share, share))


def test_share_is_what_random_maps_score():
    random, mask = np.random.default_rng(0), np.zeros((24, 20), bool)
    mask[3:11, 4:13] = True
    found = np.mean([overlap(random.random(mask.shape), mask) for _ in range(2000)], axis=0)
    assert found[3] == pytest.approx(mask.mean())
    np.testing.assert_allclose(found[:3], mask.mean(), atol=0.02)


def test_a_map_half_on_the_mask():
    """Six pixels of mask, of which the four brightest pixels of the map have two; two zeros are no part of the map."""
    mask, map = np.zeros((4, 4), bool), np.zeros((4, 4))
    mask[0], mask[1, :2] = True, True
    map[0, :2], map[3, :2] = (4, 3), (2, 1)
    assert overlap(map, mask) == pytest.approx((2 * 2 / (4 + 6), 0.7, 1, 6 / 16))


def test_numbers_so_small_that_their_sum_is_lost_still_count():
    mask = np.zeros((40, 40), bool)
    mask[:10] = True
    tiny = np.full(mask.shape, np.float32(1e-42))
    assert overlap(tiny, mask).energy == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("map", "mask", "sentence"),
    [
        (np.ones((2, 2)), np.zeros((2, 2), bool), "without a mask"),
        (np.ones((2, 3)), np.ones((2, 2), bool), "differ in shape"),
        (np.array([[1.0, -1.0]]), np.ones((1, 2), bool), "from 0 up"),
        (np.array([[1.0, np.nan]]), np.ones((1, 2), bool), "finite"),
    ],
)
def test_what_cannot_be_scored_is_refused(map, mask, sentence):
    with pytest.raises(ValueError, match=sentence):
        overlap(map, mask)
