"""Losses see exactly what is hidden, in whatever order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxssl.objectives import mae_loss, masked_pixel_loss, patchify, unpatchify
from jaxssl.objectives.reconstruction import in_units_of


def drawn(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("channel_axis", [True, False])
@pytest.mark.parametrize("error", ["l2", "l1"])
def test_loss_is_the_mean_over_hidden_pixels_and_sees_nothing_else(channel_axis, error):
    prediction, target = drawn((2, 4, 6, 3), 0), drawn((2, 4, 6, 3), 1)
    hidden = np.zeros((2, 4, 6), bool)
    hidden[0, 1:3, 2] = hidden[1, :, 4:] = True
    prediction[~hidden] = np.nan
    mask = jnp.asarray(hidden[..., None] if channel_axis else hidden, jnp.float32)
    loss, gradient = jax.jit(jax.value_and_grad(masked_pixel_loss), static_argnums=3)(prediction, target, mask, error)
    difference = (prediction - target)[hidden]
    by_hand, slope = (difference**2, 2 * difference) if error == "l2" else (np.abs(difference), np.sign(difference))
    np.testing.assert_allclose(loss, by_hand.mean(), rtol=1e-6)
    np.testing.assert_allclose(gradient[hidden], slope / (3 * hidden.sum()), rtol=1e-5)
    assert not np.any(gradient[~hidden])


def test_nothing_hidden_is_no_loss():
    loss, gradient = jax.value_and_grad(masked_pixel_loss)(
        drawn((1, 2, 2, 1), 0), drawn((1, 2, 2, 1), 1), jnp.zeros((1, 2, 2))
    )
    assert loss == 0
    assert not np.any(gradient)


cases = st.tuples(st.sampled_from([2, (2, 3), (4, 2)]), st.integers(1, 3), st.integers(0, 1000), st.booleans())


@settings(max_examples=20, deadline=None)
@given(cases)
def test_patches_shown_teach_nothing_and_the_order_of_patches_means_nothing(case):
    """Any patch, channels, mask and images, raw and normalised."""
    patch, channels, seed, normalise = case
    height, width = (patch, patch) if isinstance(patch, int) else patch
    images = drawn((2, 2 * height, 3 * width, channels), seed)
    prediction, mask = (
        drawn((2, 6, height * width * channels), seed + 1),
        np.random.default_rng(seed).random((2, 6)) < 0.6,
    )
    loss, gradient = jax.value_and_grad(mae_loss)(prediction, images, mask, patch, normalise)
    assert not np.any(gradient[~mask])
    assert np.all(np.any(gradient[mask], axis=-1))
    order = np.random.default_rng(seed).permutation(6)
    shuffled = unpatchify(patchify(jnp.asarray(images), patch)[:, order], (2, 3), patch)
    again = mae_loss(prediction[:, order], shuffled, mask[:, order], patch, normalise)
    np.testing.assert_allclose(again, loss, rtol=1e-5)


def test_a_perfect_prediction_of_normalised_patches_is_the_image_once_back_in_its_units():
    images = 3 + 20 * drawn((2, 8, 12, 2), 0)
    target = patchify(jnp.asarray(images), 4)
    perfect = (target - target.mean(-1, keepdims=True)) / target.std(-1, keepdims=True, ddof=1)
    assert mae_loss(perfect, images, np.ones((2, 6)), 4) < 1e-9
    np.testing.assert_allclose(unpatchify(in_units_of(perfect, images, 4), (2, 3), 4), images, atol=1e-4)


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
