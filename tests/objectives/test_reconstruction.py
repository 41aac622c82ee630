"""Masks hide exactly what they say, and losses see exactly what is hidden."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxssl.objectives import mae_loss, masked_pixel_loss, patch_mask, patches_to_pixels, patchify


@settings(max_examples=25, deadline=None)
@given(grid=st.sampled_from([(1, 1), (8, 8), (3, 5)]), ratio=st.floats(0, 1), seed=st.integers(0, 1000))
def test_mask_hides_exactly_the_rounded_share(grid, ratio, seed):
    mask = np.asarray(patch_mask(jax.random.key(seed), grid, ratio))
    assert set(mask) <= {0, 1}
    assert mask.sum() == round(ratio * grid[0] * grid[1])


def test_every_patch_and_every_pair_is_hidden_equally_often():
    draws, share = 20_000, 0.75
    masks = np.asarray(jax.vmap(lambda key: patch_mask(key, (2, 4), share))(jax.random.split(jax.random.key(0), draws)))
    together = masks.T @ masks / draws
    expected = np.where(np.eye(8), share, share * 5 / 7)
    # Five standard errors of a share of this many draws.
    assert np.abs(together - expected).max() < 5 * 0.5 / np.sqrt(draws)


def test_pixels_of_a_patch_are_hidden_together():
    pixels = patches_to_pixels(jnp.array([[1.0, 0, 0], [0, 0, 1]]).reshape(1, 6), (2, 3), 2)
    expected = [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1]]
    np.testing.assert_array_equal(pixels[0], expected)


def drawn(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("channel_axis", [True, False])
def test_loss_is_the_mean_over_hidden_pixels_and_sees_nothing_else(channel_axis):
    prediction, target = drawn((2, 4, 6, 3), 0), drawn((2, 4, 6, 3), 1)
    hidden = np.zeros((2, 4, 6), bool)
    hidden[0, 1:3, 2] = hidden[1, :, 4:] = True
    prediction[~hidden] = np.nan
    mask = jnp.asarray(hidden[..., None] if channel_axis else hidden, jnp.float32)
    loss, gradient = jax.jit(jax.value_and_grad(masked_pixel_loss))(prediction, target, mask)
    np.testing.assert_allclose(loss, np.mean((prediction - target)[hidden] ** 2), rtol=1e-6)
    expected = 2 * (prediction - target)[hidden] / (3 * hidden.sum())
    np.testing.assert_allclose(gradient[hidden], expected, rtol=1e-5)
    assert not np.any(gradient[~hidden])


def test_nothing_hidden_is_no_loss():
    loss, gradient = jax.value_and_grad(masked_pixel_loss)(
        drawn((1, 2, 2, 1), 0), drawn((1, 2, 2, 1), 1), jnp.zeros((1, 2, 2))
    )
    assert loss == 0
    assert not np.any(gradient)


def test_normalised_target_does_not_see_brightness_and_contrast():
    images, prediction, mask = drawn((2, 8, 12, 2), 0), drawn((2, 6, 32), 1), np.arange(12).reshape(2, 6) % 2
    once = mae_loss(prediction, images, mask, 4)
    again = mae_loss(prediction, 3 + 20 * images, mask, 4)
    np.testing.assert_allclose(again, once, rtol=1e-5)


def test_patches_go_row_by_row():
    image = np.arange(4 * 6).reshape(1, 4, 6, 1)
    np.testing.assert_array_equal(patchify(jnp.asarray(image, jnp.float32), 2)[0, 4], [14, 15, 20, 21])
    with pytest.raises(ValueError, match="4 x 6"):
        patchify(jnp.zeros((1, 4, 6, 1)), 4)
