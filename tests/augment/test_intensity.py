"""Noise, blur, contrast, brightness and gamma against independent references."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxssl.augment.intensity import blurred, change_intensity, gamma_curve
from jaxssl.augment.options import Augment

OFF = replace(Augment(), noise=0.0, blur=0.0, contrast=(1.0, 1.0), brightness=0.0, gamma=(1.0, 1.0))


@pytest.fixture
def image():
    return jnp.asarray(np.random.default_rng(0).normal(size=(24, 31, 2)), jnp.float32)


def many(image, options, n=500):
    keys = jax.random.split(jax.random.key(1), n)
    return np.asarray(jax.jit(jax.vmap(lambda key: change_intensity(key, image, options)))(keys))


def test_all_off_changes_no_bit(image):
    np.testing.assert_array_equal(change_intensity(jax.random.key(0), image, OFF), image)


def test_undrawn_noise_and_blur_change_no_bit(image):
    views = many(image, replace(OFF, noise=0.2, blur=0.2))
    untouched = (views == np.asarray(image)).all((1, 2, 3))
    assert abs(untouched.mean() - 0.64) < 4 * np.sqrt(0.64 * 0.36 / 500)


def test_noise_has_its_probability_and_strength(image):
    change = many(image, replace(OFF, noise=0.3, noise_std=0.2)) - np.asarray(image)
    drawn = np.abs(change).max((1, 2, 3)) > 0
    assert abs(drawn.mean() - 0.3) < 4 * np.sqrt(0.21 / 500)
    np.testing.assert_allclose(change[drawn].std(), 0.2, rtol=0.01)
    assert abs(change[drawn].mean()) < 0.002


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_blur_equals_scipy_inside_and_keeps_a_flat_image(image, sigma):
    ours = jax.jit(blurred)(image, sigma)
    theirs = ndimage.gaussian_filter(np.asarray(image, np.float64), (sigma, sigma, 0), truncate=6.0)
    np.testing.assert_allclose(ours[9:-9, 9:-9], theirs[9:-9, 9:-9], atol=1e-6)
    np.testing.assert_allclose(jax.jit(blurred)(jnp.full_like(image, 3.0), sigma), 3.0, rtol=1e-6)


def test_blur_draws_its_sigma_within_the_range():
    """An impulse blurred by sigma has the height 1 / (2 pi sigma^2)."""
    impulse = jnp.zeros((31, 31, 1)).at[15, 15].set(1.0)
    peak = many(impulse, replace(OFF, blur=1.0, blur_sigma=(1.0, 1.5)))[:, 15, 15, 0]
    sigma = np.sqrt(1 / (2 * np.pi * peak))
    assert 0.999 < sigma.min() < 1.02
    assert 1.48 < sigma.max() < 1.501


def test_contrast_and_brightness_are_one_line_per_view(image):
    views = many(image, replace(OFF, contrast=(0.6, 1.5), brightness=0.4))
    flat = np.asarray(image).ravel()
    fits = np.array([np.polyfit(flat, view.ravel(), 1) for view in views])
    fitted = fits[:, :1] * flat + fits[:, 1:]
    np.testing.assert_allclose(views.reshape(500, -1), fitted, atol=1e-5)
    for values, (low, high) in zip(fits.T, ((0.6, 1.5), (-0.4, 0.4)), strict=True):
        assert low - 1e-3 <= values.min() < low + 0.02
        assert high - 0.02 < values.max() <= high + 1e-3
    assert abs(np.corrcoef(fits.T)[0, 1]) < 0.15


@pytest.mark.parametrize("gamma", [0.7, 1.0, 1.5])
def test_gamma_keeps_extremes_and_order_and_is_undone_by_its_inverse(image, gamma):
    curved = np.asarray(gamma_curve(image, jnp.float32(gamma)))
    for channel in range(2):
        before, after = np.asarray(image)[..., channel].ravel(), curved[..., channel].ravel()
        np.testing.assert_allclose([after.min(), after.max()], [before.min(), before.max()], atol=1e-6)
        assert (np.diff(after[np.argsort(before)]) >= 0).all()
        middle = (before.min() + before.max()) / 2
        assert np.sign(np.interp(middle, np.sort(before), np.sort(after)) - middle) == np.sign(1 - gamma) or gamma == 1
    np.testing.assert_allclose(gamma_curve(jnp.asarray(curved), jnp.float32(1 / gamma)), image, atol=2e-5)


def test_gamma_of_a_flat_image_is_that_image():
    np.testing.assert_array_equal(gamma_curve(jnp.full((3, 4, 1), -2.0), jnp.float32(0.7)), -2.0)
