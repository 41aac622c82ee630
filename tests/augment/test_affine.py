"""The affine map and the resampling, against exact rearrangements of arrays."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxssl.augment.affine import affine, draw_affine, resample
from jaxssl.augment.options import Augment

SHAPE = (12, 20)
STILL = replace(Augment(), translation=0.0, rotation=0.0, scale=(1.0, 1.0), flip=0.0)


def image_and_mask(shape=SHAPE, channels=2):
    rng = np.random.default_rng(0)
    return (
        jnp.asarray(rng.normal(size=(*shape, channels)), jnp.float32),
        jnp.asarray(rng.integers(0, 4, shape), jnp.uint8),
    )


def moved(shape=SHAPE, spacing=(1.0, 1.0), shift=(0.0, 0.0), degrees=0.0, scale=1.0, flips=(False, False)):
    numbers = (jnp.asarray(v, jnp.float32) for v in (shift, degrees, scale))
    matrix = affine(*numbers, jnp.asarray(flips), shape, jnp.asarray(spacing, jnp.float32))
    image, mask = image_and_mask(shape)
    return (image, mask, *resample(matrix, image, mask))


def test_identity_changes_no_bit():
    matrix = draw_affine(jax.random.key(0), STILL, SHAPE, jnp.array([1.3, 0.7]))
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 1, 0]])
    image, mask = image_and_mask()
    view, moved_mask = resample(matrix, image, mask)
    np.testing.assert_array_equal(view, image)
    np.testing.assert_array_equal(moved_mask, mask)


@pytest.mark.parametrize("flips", [(True, False), (False, True), (True, True)])
def test_flips_are_exact_for_any_spacing(flips):
    axes = [axis for axis in (0, 1) if flips[axis]]
    image, mask, view, moved_mask = moved(spacing=(2.0, 0.7), flips=flips)
    np.testing.assert_array_equal(view, np.flip(image, axes))
    np.testing.assert_array_equal(moved_mask, np.flip(mask, axes))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_equal_rot90(turns):
    image, mask, view, moved_mask = moved(shape=(16, 16), degrees=90.0 * turns)
    np.testing.assert_allclose(view, np.rot90(image, turns), atol=3e-5)
    np.testing.assert_array_equal(moved_mask, np.rot90(mask, turns))


def test_shift_in_mm_moves_whole_pixels_and_fills_with_air():
    image, mask, view, moved_mask = moved(spacing=(2.0, 0.5), shift=(4.0, -1.5))
    np.testing.assert_allclose(view[2:, :-3], image[:-2, 3:], atol=1e-6)
    np.testing.assert_array_equal(moved_mask[2:, :-3], mask[:-2, 3:])
    np.testing.assert_allclose(view[:2], np.broadcast_to(image.min((0, 1)), (2, 20, 2)))
    assert not moved_mask[:2].any()


def test_enlarging_about_the_centre():
    image, _, view, _ = moved(shape=(9, 13), scale=2.0)
    np.testing.assert_allclose(view[0::2, 0::2], image[2:7, 3:10], atol=1e-6)
    np.testing.assert_allclose(view[1, 0], (image[2, 3] + image[3, 3]) / 2, atol=1e-6)


def test_bilinear_between_four_pixels():
    image, _ = image_and_mask()
    matrix = jnp.array([[1.0, 0.0, 0.25], [0.0, 1.0, 0.5]])
    view, _ = resample(matrix, image, None)
    expected = 0.75 * (0.5 * image[:-1, :-1] + 0.5 * image[:-1, 1:]) + 0.25 * (
        0.5 * image[1:, :-1] + 0.5 * image[1:, 1:]
    )
    np.testing.assert_allclose(view[:-1, :-1], expected, atol=1e-6)


def test_turning_acts_in_mm():
    """A bar of 8 mm along y, on pixels of 2 x 1 mm, is a bar of 8 mm along x after a quarter turn."""
    image = jnp.zeros((17, 33, 1)).at[6:11, 16].set(1.0)
    matrix = affine(
        jnp.zeros(2), jnp.float32(90.0), jnp.float32(1.0), jnp.array([False, False]), (17, 33), jnp.array([2.0, 1.0])
    )
    view, _ = resample(matrix, image, None)
    inside = np.asarray(view[8, :, 0]) > 0.5
    assert np.flatnonzero(inside).tolist() == list(range(12, 21))
    assert float(view[7].max()) < 1e-4


@settings(max_examples=25, deadline=None)
@given(
    degrees=st.floats(-180, 180),
    scale=st.floats(0.7, 1.4),
    shift=st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
    flips=st.tuples(st.booleans(), st.booleans()),
    spacing=st.tuples(st.floats(0.5, 3), st.floats(0.5, 3)),
)
def test_the_map_is_the_stated_one_in_mm(degrees, scale, shift, flips, spacing):
    """A point of the image goes, in mm about the centre, to shift + scale turn(flip(point)); the map leads back."""
    matrix = np.asarray(
        affine(*map(jnp.asarray, (shift, degrees, scale, flips)), SHAPE, jnp.asarray(spacing)), np.float64
    )
    centre, spacing = (np.array(SHAPE) - 1) / 2, np.array(spacing)
    point = np.array([3.0, 11.0])
    y, x = (point - centre) * spacing * np.where(flips, -1, 1)
    turn = np.exp(1j * np.deg2rad(degrees)) * (x - 1j * y)  # y points down on the screen, up in the plane
    target = np.array(shift) + scale * np.array([-turn.imag, turn.real])
    np.testing.assert_allclose(matrix @ [*(target / spacing + centre), 1.0], point, atol=2e-3)


def test_draws_fill_their_ranges():
    options = Augment(translation=10.0, rotation=30.0, scale=(0.8, 1.2), flip=0.25)
    keys = jax.random.split(jax.random.key(1), 4000)
    spacing = jnp.array([2.0, 2.0])
    maps = np.asarray(jax.vmap(lambda key: draw_affine(key, options, SHAPE, spacing))(keys), np.float64)
    determinant = np.linalg.det(maps[:, :, :2])
    scale = np.abs(determinant) ** -0.5
    assert scale.min() >= 0.7999
    assert scale.max() <= 1.2001
    assert abs(scale.mean() - 1.0) < 0.01
    assert abs((determinant < 0).mean() - 2 * 0.25 * 0.75) < 0.04
    upright = maps[(determinant > 0) & (maps[:, 0, 0] > 0)]
    angle = np.rad2deg(np.arctan2(upright[:, 0, 1], upright[:, 0, 0]))
    assert np.abs(angle).max() <= 30.01
    assert abs(angle.std() - 30 / np.sqrt(3)) < 1.0
    centre = (np.array(SHAPE) - 1) / 2
    shift = np.linalg.solve(maps[:, :, :2], (centre - maps[:, :, 2])[..., None])[..., 0] - centre
    assert np.abs(2.0 * shift).max() <= 10.01
    np.testing.assert_allclose((2.0 * shift).std(0), 10 / np.sqrt(3), rtol=0.05)
