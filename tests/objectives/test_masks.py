"""Masks hide exactly what they say, everywhere or within a fan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxssl.objectives import fan_of, hidden_count, keep_least, mostly, patch_mask, patches_to_pixels
from jaxssl.objectives.masks import first


@settings(max_examples=25, deadline=None)
@given(grid=st.sampled_from([(1, 1), (8, 8), (3, 5)]), ratio=st.floats(0, 1), seed=st.integers(0, 1000))
def test_mask_hides_exactly_the_rounded_share(grid, ratio, seed):
    mask = np.asarray(patch_mask(jax.random.key(seed), grid, ratio))
    assert set(mask) <= {0, 1}
    assert mask.sum() == round(ratio * grid[0] * grid[1])


@settings(max_examples=25, deadline=None)
@given(within=st.lists(st.booleans(), min_size=15, max_size=15), ratio=st.floats(0, 1), seed=st.integers(0, 1000))
def test_within_a_fan_the_share_is_that_of_the_fan(within, ratio, seed):
    mask = np.asarray(patch_mask(jax.random.key(seed), (3, 5), ratio, jnp.asarray(within)))
    assert mask.sum() == round(ratio * sum(within))
    assert not np.any(mask[~np.asarray(within)])


def test_a_half_is_rounded_to_the_even_number_and_cells_of_simmim_are_as_many_as_theirs():
    assert [hidden_count(n, 0.5) for n in (1, 3, 5, 7)] == [0, 2, 2, 4]
    assert hidden_count(36, 0.6) == np.ceil(36 * 0.6) == 22
    cells = patch_mask(jax.random.key(0), (6, 6), 0.6)
    assert patches_to_pixels(cells, (6, 6), 32 // 4).sum() == 22 * 64  # patches of 4 in cells of 32 pixels
    assert (hidden_count(49, 0.6), np.ceil(49 * 0.6)) == (29, 30)  # where the rules part


def test_every_patch_and_every_pair_is_hidden_equally_often():
    draws, share = 20_000, 0.75
    keys = jax.random.split(jax.random.key(0), draws)
    everywhere = np.asarray(jax.vmap(lambda key: patch_mask(key, (2, 4), share))(keys))
    fan = jnp.asarray([0, 1, 1, 0, 1, 0, 1, 0], bool)
    within = np.asarray(jax.vmap(lambda key: patch_mask(key, (2, 4), share, fan))(keys))[:, np.asarray(fan)]
    for masks, pair in ((everywhere, share * 5 / 7), (within, share * 2 / 3)):
        expected = np.where(np.eye(masks.shape[1]), share, pair)
        # Five standard errors of a share of this many draws.
        assert np.abs(masks.T @ masks / draws - expected).max() < 5 * 0.5 / np.sqrt(draws)


def test_keeping_the_least_noise_is_the_published_random_masking():
    """Values of MAE's `random_masking` for this noise and ratio .75."""
    visible, restore = keep_least(7 * jnp.arange(16) % 16, 4)
    assert visible.tolist() == [0, 7, 14, 5]
    assert restore.tolist() == [0, 7, 14, 5, 12, 3, 10, 1, 8, 15, 6, 13, 4, 11, 2, 9]
    assert (restore >= 4).astype(int).tolist() == [0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 0, 1]


@settings(max_examples=25, deadline=None)
@given(favoured=st.lists(st.booleans(), min_size=12, max_size=12), count=st.integers(1, 11), seed=st.integers(0, 1000))
def test_the_favoured_are_kept_first_and_rows_find_their_way_back(favoured, count, seed):
    noise, favoured = np.random.default_rng(seed).permutation(12), np.asarray(favoured)
    visible, restore = keep_least(first(jnp.asarray(noise), jnp.asarray(favoured)), count)
    assert favoured[visible].sum() == min(count, favoured.sum())
    assert np.all(np.diff(noise[visible][favoured[visible]]) > 0)
    order = np.argsort(restore)
    np.testing.assert_array_equal(order[:count], visible)
    np.testing.assert_array_equal(order[restore], np.arange(12))


def test_pixels_of_a_patch_are_hidden_together():
    mask = jnp.array([[1.0, 0, 0], [0, 0, 1]]).reshape(1, 6)
    expected = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(patches_to_pixels(mask, (2, 3), 2)[0], expected)
    np.testing.assert_array_equal(patches_to_pixels(mask, (2, 3), (1, 2))[0], expected[::2])


def sector(size=96, half_angle=0.6, near=30.0, far=95.0, apex=-12.0):
    """Pixels between two arcs about a point above the image."""
    y, x = np.mgrid[:size, :size]
    depth, angle = np.hypot(y - apex, x - size / 2), np.arctan2(x - size / 2, y - apex)
    return (np.abs(angle) < half_angle) & (depth > near) & (depth < far)


@pytest.mark.parametrize("dark", ["speckles", "chamber", "fluid"])
def test_the_fan_is_found_under_what_is_dark_in_it(dark):
    fan, image = sector(), np.random.default_rng(0).integers(1, 255, (96, 96, 1)).astype(np.uint8)
    image[~fan] = 0
    if dark == "speckles":
        image[np.random.default_rng(1).random((96, 96)) < 0.2] = 0
    elif dark == "chamber":
        image[40:65, 35:60] = 0
    else:  # from one side of the fan to the other
        image[45:60] = 0
    found = np.asarray(jax.jit(fan_of)(image))
    assert (found != fan).mean() < (0.04 if dark == "fluid" else 0.005)
    assert not np.any(found & ~fan)
    # The hollow under the probe, which rows alone would fill, was there to be filled.
    assert np.any(fan[14])
    assert not fan[14, 48]


def test_a_patch_belongs_to_a_mask_by_half_of_its_pixels():
    pixels = np.zeros((1, 4, 6), np.uint8)
    pixels[0, 0, :2] = pixels[0, :2, 2] = pixels[0, 0, 4] = pixels[0, 2:, 4:] = 1
    assert mostly(jnp.asarray(pixels), 2)[0].tolist() == [True, True, False, False, False, True]
