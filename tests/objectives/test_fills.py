"""What stands in for hidden patches; pixels that are shown are never touched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jaxssl.objectives import filled, patch_mask, patches_to_pixels, patchify

GRID, PATCH = (3, 4), 2
IMAGE = np.random.default_rng(0).normal(size=(6, 8, 2)).astype(np.float32)


@jax.jit
def tiles(image):
    return patchify(image[None], PATCH)[0]


def fill_in(seed, hidden, fill, within=None):
    within = None if within is None else jnp.asarray(within)
    return filled(jax.random.key(seed), jnp.asarray(IMAGE), jnp.asarray(hidden), within, patch=PATCH, fill=fill)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["zero", "noise", "shuffle", "replacement"]), st.floats(0, 1), st.integers(0, 1000), st.booleans()
)
def test_shown_pixels_stay_and_hidden_ones_are_replaced(fill, ratio, seed, some):
    within = jnp.asarray(np.arange(12) % 3 > 0) if some else None
    hidden = patch_mask(jax.random.key(seed), GRID, ratio, within)
    # One patch has no other place to go to; where all that may be copied are hidden any patch is, itself too.
    everything = GRID[0] * GRID[1] if within is None else within.sum()
    assume(not (fill == "shuffle" and hidden.sum() == 1) and not (fill == "replacement" and hidden.sum() == everything))
    image = np.asarray(fill_in(seed, hidden, fill, within))
    pixels = np.asarray(patches_to_pixels(hidden, GRID, PATCH)) > 0
    np.testing.assert_array_equal(image[~pixels], IMAGE[~pixels])
    assert np.all(image[pixels] != IMAGE[pixels])


def test_where_none_may_be_copied_any_patch_is():
    within = np.arange(12) % 3 > 0
    known = np.asarray(tiles(IMAGE))
    drawn = [np.asarray(tiles(fill_in(seed, within, "replacement", within)))[within] for seed in range(9)]
    source = [int(np.flatnonzero((known == tile).all(1))[0]) for tile in np.concatenate(drawn)]
    assert {False, True} == {bool(within[place]) for place in source}


def test_zero_and_noise_are_what_they_say():
    hidden = np.arange(12) % 2
    pixels = np.asarray(patches_to_pixels(jnp.asarray(hidden), GRID, PATCH)) > 0
    assert not np.any(fill_in(0, hidden, "zero")[pixels])
    draws = np.concatenate([np.ravel(fill_in(seed, hidden, "noise")[pixels]) for seed in range(100)])
    assert abs(draws.mean()) < 5 / np.sqrt(draws.size)
    assert abs(draws.var() - 1) < 5 * np.sqrt(2 / draws.size)


@pytest.mark.parametrize("count", [2, 5, 12])
def test_shuffled_patches_are_the_hidden_ones_none_of_them_in_its_place(count):
    hidden = np.arange(12) < count
    places = set()
    for seed in range(20):
        got = np.asarray(tiles(fill_in(seed, hidden, "shuffle")))[:count]
        source = [int(np.flatnonzero((np.asarray(tiles(IMAGE)) == tile).all(1))[0]) for tile in got]
        assert sorted(source) == list(range(count))
        assert all(source[place] != place for place in range(count))
        places.add(tuple(source))
    assert len(places) > 1 or count == 2


def test_replacements_are_copies_of_shown_patches_of_the_fan_drawn_evenly():
    hidden, fan = np.arange(12) < 4, np.arange(12) < 8
    draws = []
    for seed in range(150):
        got = np.asarray(tiles(fill_in(seed, hidden, "replacement", fan)))[:4]
        draws += [int(np.flatnonzero((np.asarray(tiles(IMAGE)) == tile).all(1))[0]) for tile in got]
    counts = np.bincount(draws, minlength=12)
    assert not np.any(counts[hidden | ~fan])
    # 600 draws among 4: five standard errors.
    assert np.abs(counts[4:8] - 150).max() < 5 * np.sqrt(600 * 3 / 16)
