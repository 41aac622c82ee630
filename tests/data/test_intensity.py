"""Means and standard deviations that are gathered image by image, against numpy's of all pixels at once."""

import dataclasses
import functools
import operator

import numpy as np
import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from jaxssl.data.columns import Columns
from jaxssl.data.intensity import Moments


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    offset=st.sampled_from([0.0, -3.0, 1e6]),
    spread=st.floats(1.0, 1e3),
    seed=st.integers(0, 2**32 - 1),
)
def test_moments_add_in_any_order_to_those_of_all_pixels(sizes, offset, spread, seed):
    random = np.random.default_rng(seed)
    images = [offset + spread * random.normal(random.normal(), 1, size) for size in sizes]
    pool = [Moments.of(image) for image in images]
    while len(pool) > 1:
        first, second = (pool.pop(random.integers(len(pool))) for _ in range(2))
        pool.append(first + second)
    pixels = np.concatenate(images)
    mean, std = pool[0].scale
    # No more is lost than what float64 cannot hold of a pixel.
    bound = {"rtol": 1e-12, "atol": 1e-15 * abs(offset) * len(pixels) ** 0.5 + 1e-12}
    assert pool[0].count == len(pixels)
    np.testing.assert_allclose(mean, pixels.mean(), **bound)
    np.testing.assert_allclose(std, pixels.std() or 1, **bound)


def test_contrast_far_from_zero_is_not_lost():
    noise = np.random.default_rng(0).integers(-50, 50, (20, 30, 30)) / 1024  # exact beside 1e6
    mean, std = functools.reduce(operator.add, (Moments.of(1e6 + image) for image in noise)).scale
    assert mean == pytest.approx(1e6 + noise.mean(), rel=1e-15)
    assert std == pytest.approx(noise.std(), rel=1e-8)


def test_a_pixel_that_differs_counts_however_bright_the_subject_is():
    """Of bright uint16 images, in the table of a cache: the squares of their values fill float64."""
    image = np.full((1000, 1000, 1), 65000, np.uint16)
    image[0, 0] = 65001
    plane, columns = samples.plane(1000, 1000), Columns()
    record = dataclasses.replace(next(samples.records()), image=image, plane=plane, mask=None)
    for _ in range(3):
        columns.add(record, plane)
    table, _ = columns.close()
    assert {name: table[name].dtype for name in ("mean", "std")} == {"mean": np.float32, "std": np.float32}
    np.testing.assert_array_equal(table["mean"], np.float32(65000))
    np.testing.assert_allclose(table["std"], image.std(dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("value", [0, 255, 0.1, -0.3, 1e6 + 0.1, -1e9 / 3, 1e-3])
def test_a_single_value_has_nothing_to_scale(value):
    sizes = (1, 7, 1000, 333, 12345)
    mean, std = functools.reduce(operator.add, (Moments.of(np.full(size, value)) for size in sizes)).scale
    assert mean == pytest.approx(value, rel=1e-14)
    assert std == 1


def test_flat_images_of_several_values_have_a_scale():
    assert (Moments.of(np.zeros((2, 3), np.uint8)) + Moments.of(np.full((3, 2), 4, np.uint8))).scale == (2, 2)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e200])
def test_what_cannot_be_scaled_shows_and_stays(wrong):
    """Without a warning, which would be an error here."""
    moments = Moments.of(np.array([wrong, 1.0])) + Moments.of(np.ones(2))
    assert not np.isfinite(moments.squares)
