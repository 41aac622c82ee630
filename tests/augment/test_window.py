"""Views of another size and random resized crops: what a window shows, and where it may lie."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxssl.augment.affine import draw_affine, draw_window, resample
from jaxssl.augment.options import Augment
from jaxssl.augment.views import augment
from jaxssl.errors import UserError
from jaxssl.methods import parts

SHAPE, SPACING = (24, 40), jnp.array([1.5, 1.0])
CALM = {"noise": 0.0, "blur": 0.0, "contrast": (1.0, 1.0), "brightness": 0.0, "gamma": (1.0, 1.0)}
STILL = Augment(translation=0.0, rotation=0.0, scale=(1.0, 1.0), flip=0.0, **CALM)
sides = st.integers(2, 48)
crops = st.tuples(st.floats(0.02, 1.0), st.floats(0.02, 1.0)).map(lambda ends: (min(ends), max(ends)))
aspects = st.tuples(st.floats(0.2, 5.0), st.floats(0.2, 5.0)).map(lambda ends: (min(ends), max(ends)))


def picture(shape=SHAPE):
    rng = np.random.default_rng(0)
    return (
        jnp.asarray(rng.normal(size=(*shape, 2)), jnp.float32),
        jnp.asarray(rng.integers(0, 4, shape), jnp.uint8),
    )


def corners(matrix, size):
    """Where the centres of a view's four outermost pixels lie in the image, (y, x) by corner."""
    ends = np.array([[y, x, 1] for y in (0, size[0] - 1) for x in (0, size[1] - 1)], float)
    return ends @ np.asarray(matrix, float).T


@pytest.mark.parametrize("size", [(12, 20), (11, 19), (24, 7), (5, 40)])
def test_a_smaller_view_is_a_window_about_the_centre_to_the_bit(size):
    image, mask = picture()
    view, moved = augment(jax.random.key(0), image, mask, SPACING, STILL, size)
    top, left = (24 - size[0]) // 2, (40 - size[1]) // 2
    here = np.s_[top : top + size[0], left : left + size[1]]
    np.testing.assert_array_equal(view, image[here])
    np.testing.assert_array_equal(moved, mask[here])


def test_a_larger_view_is_surrounded_by_air():
    image, mask = picture()
    view, moved = augment(jax.random.key(0), image, mask, SPACING, STILL, (28, 40))
    np.testing.assert_array_equal(view[2:-2], image)
    np.testing.assert_array_equal(view[:2], np.broadcast_to(image.min((0, 1)), (2, 40, 2)))
    assert not moved[:2].any()


def test_a_smaller_view_shows_the_middle_of_the_whole_view():
    """Turned, flipped, enlarged and shifted: the size says how much is shown of the same motion."""
    options = Augment(**CALM)
    for key in jax.random.split(jax.random.key(2), 8):
        whole, part = (draw_affine(key, options, SHAPE, SPACING, size) for size in (None, (12, 20)))
        np.testing.assert_allclose(part[:, :2], whole[:, :2])
        np.testing.assert_allclose(part @ jnp.array([0, 0, 1.0]), whole @ jnp.array([6, 10, 1.0]), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(sides, sides, sides, sides, crops, aspects, st.integers(0, 2**31))
def test_windows_lie_inside_and_keep_their_ranges(height, width, rows, columns, crop, aspect, seed):
    shape, size = (height, width), (rows, columns)
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), 40)
        step, corner = jax.vmap(lambda key: draw_window(key, crop, aspect, shape, size, jnp.float64))(keys)
    side = np.array(shape)
    window = np.asarray(step) * size
    # Rectangles of whole pixels lie inside, and so do the centres of the view's pixels among those of the image's.
    start = np.asarray(corner) + 0.5 - np.asarray(step) / 2
    assert (start >= -1e-9).all()
    assert (start + window <= side + 1e-9).all()
    assert (np.asarray(corner) >= -1e-9).all()
    assert (np.asarray(corner) + np.asarray(step) * (np.array(size) - 1) <= side - 1 + 1e-9).all()
    share = window.prod(1) / side.prod()
    assert share.max() <= crop[1] + 1e-9
    finer = rows > height or columns > width
    assert finer or share.min() >= crop[0] - 1e-9
    # A ratio outside its range is the image's own limit: the window is as wide or as high as it can be.
    ratio = (window[:, 1] / window[:, 0]) / (columns / rows)
    outside = (ratio < aspect[0] - 1e-9) | (ratio > aspect[1] + 1e-9)
    at_limit = np.isclose(np.asarray(step) * (np.array(size) - 1), side - 1) | np.isclose(window, side)
    assert (~outside | at_limit.any(1)).all()


def test_area_is_uniform_aspect_log_uniform_and_place_uniform():
    keys = jax.random.split(jax.random.key(1), 4000)
    draw = jax.vmap(lambda key: draw_window(key, (0.1, 0.5), (0.75, 4 / 3), (64, 64), (32, 32), jnp.float32))
    step, corner = (np.asarray(x, float) for x in draw(keys))
    window = 32 * step
    share = window.prod(1) / 64**2
    ratio = np.log(window[:, 1] / window[:, 0]) / np.log(4 / 3)
    place = (corner + 0.5 - step / 2 - np.maximum(1 - step, 0) / 2) / (64 - window - np.maximum(1 - step, 0))
    for values, low, high in ((share, 0.1, 0.5), (ratio, -1, 1), (place[:, 0], 0, 1), (place[:, 1], 0, 1)):
        spread = (np.sort(values) - low) / (high - low)
        # Kolmogorov and Smirnov: at 4000 draws a larger distance comes once in 10,000 runs.
        assert np.abs(spread - (np.arange(4000) + 0.5) / 4000).max() < 2.2 / np.sqrt(4000)
    independent = np.corrcoef([share, ratio, place[:, 0], place[:, 1]]) - np.eye(4)
    assert np.abs(independent).max() < 0.07


@pytest.mark.parametrize("size", [None, (12, 20), (17, 31), (48, 80), (30, 16)])
def test_a_plane_of_intensities_is_reproduced_exactly(size):
    """f(y, x) = 2 y - 3 x + 5 is bilinear everywhere, and no window reaches the air beyond the edge."""
    rows, columns = np.mgrid[:24, :40]
    image = jnp.asarray(2.0 * rows - 3.0 * columns + 5.0, jnp.float32)[..., None]
    options = replace(STILL, crop=(0.05, 1.0), aspect=(0.5, 2.0), flip=0.5)
    shown = (24, 40) if size is None else size
    grid = np.stack([*np.mgrid[: shown[0], : shown[1]], np.ones(shown)]).reshape(3, -1)
    for key in jax.random.split(jax.random.key(5), 6):
        view, _ = augment(key, image, None, SPACING, options, size)
        y, x = np.asarray(draw_affine(key, options, SHAPE, SPACING, size), float) @ grid
        np.testing.assert_allclose(np.asarray(view).ravel(), 2 * y - 3 * x + 5, atol=5e-4)


def test_a_crop_as_large_as_the_view_equals_slicing():
    """Where the drawn corner is a whole pixel, the view is that part of the array."""
    image, mask = picture((16, 16))
    options = replace(STILL, crop=(0.25, 0.25))
    whole = 0
    for key in jax.random.split(jax.random.key(0), 20):
        matrix = np.asarray(draw_affine(key, options, (16, 16), SPACING, (8, 8)))
        np.testing.assert_allclose(matrix[:, :2], np.eye(2), atol=1e-6)
        top, left = np.round(matrix[:, 2]).astype(int)
        moved = jnp.asarray(matrix).at[:, 2].set([top, left])
        view, part = resample(moved.at[:, :2].set(jnp.eye(2)), image, mask, (8, 8))
        np.testing.assert_array_equal(view, image[top : top + 8, left : left + 8])
        np.testing.assert_array_equal(part, mask[top : top + 8, left : left + 8])
        whole += int(0 <= top <= 8 and 0 <= left <= 8)
    assert whole == 20


def test_a_crop_of_everything_is_the_image_and_enlarges_to_even_averages():
    image, _ = picture()
    options = replace(STILL, crop=(1.0, 1.0), aspect=(0.5, 2.0))
    view, _ = augment(jax.random.key(0), image, None, SPACING, options)
    np.testing.assert_allclose(view, image, atol=1e-4)
    half, _ = augment(jax.random.key(0), image, None, SPACING, options, (12, 20))
    blocks = np.asarray(image).reshape(12, 2, 20, 2, 2).mean((1, 3))
    np.testing.assert_allclose(half, blocks, atol=1e-4)


def test_the_window_is_cut_first_and_then_moved():
    """Flipped and turned by half, a view shows the same window, its corners exchanged."""
    still = replace(STILL, crop=(0.1, 0.6), aspect=(0.75, 4 / 3))
    for key in jax.random.split(jax.random.key(3), 5):
        plain, flipped = (
            corners(draw_affine(key, options, SHAPE, SPACING, (16, 12)), (16, 12))
            for options in (still, replace(still, flip=1.0))
        )
        np.testing.assert_allclose(flipped, plain[::-1], atol=1e-4)
        upside, sideways = (
            corners(draw_affine(key, replace(still, flip=1.0, flip_axes=(axis,)), SHAPE, SPACING, (16, 12)), (16, 12))
            for axis in ("y", "x")
        )
        np.testing.assert_allclose(upside, plain[[2, 3, 0, 1]], atol=1e-4)
        np.testing.assert_allclose(sideways, plain[[1, 0, 3, 2]], atol=1e-4)
        enlarged = corners(draw_affine(key, replace(still, scale=(2.0, 2.0)), SHAPE, SPACING, (16, 12)), (16, 12))
        np.testing.assert_allclose(enlarged - plain.mean(0), (plain - plain.mean(0)) / 2, atol=1e-4)


def test_without_a_crop_its_options_change_no_draw():
    key = jax.random.key(4)
    np.testing.assert_array_equal(
        draw_affine(key, Augment(), SHAPE, SPACING), draw_affine(key, Augment(aspect=(0.5, 2.0)), SHAPE, SPACING)
    )
    program = jax.make_jaxpr(lambda key: draw_affine(key, Augment(), SHAPE, SPACING))(key)
    cropped = jax.make_jaxpr(lambda key: draw_affine(key, Augment(crop=(0.5, 1.0)), SHAPE, SPACING))(key)
    assert str(program).count("random_bits") == 1
    assert str(cropped).count("random_bits") == 2


def test_views_of_a_batch_have_the_size_asked_for_and_their_own_windows():
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 1000, (4, *SHAPE, 1)).astype(np.uint16),
        "mask": rng.integers(0, 4, (4, *SHAPE)).astype(np.uint8),
        "mean": np.full(4, 500, np.float32),
        "std": np.full(4, 200, np.float32),
        "spacing": np.tile(np.array([[1.5, 1.0]], np.float32), (4, 1)),
    }
    keys = jax.random.split(jax.random.key(0), 4)
    images, masks = parts.view(keys, 3, batch, Augment.study_a(), (16, 12))
    assert (images.shape, masks.shape) == ((4, 16, 12, 1), (4, 16, 12))
    for i in range(4):
        image = (jnp.asarray(batch["image"][i], jnp.float32) - 500) / 200
        key = jax.random.fold_in(keys[i], 3)
        alone, mask = augment(
            key, image, jnp.asarray(batch["mask"][i]), batch["spacing"][i], Augment.study_a(), (16, 12)
        )
        np.testing.assert_allclose(images[i], alone, atol=1e-5)
        np.testing.assert_array_equal(masks[i], mask)


@pytest.mark.parametrize("options", [Augment.study_a(), Augment.study_d()])
def test_the_studies_augmentations_are_possible_and_applied(options):
    options.check()
    image, _ = picture()
    keys = jax.random.split(jax.random.key(0), 6)
    views = jax.vmap(lambda key: augment(key, image, None, SPACING, options)[0])(keys)
    assert np.isfinite(views).all()
    assert all(np.abs(views[i] - views[j]).mean() > 0.1 for i in range(6) for j in range(i))


@pytest.mark.parametrize(
    "change", [{"crop": (0.0, 1.0)}, {"crop": (0.5, 1.1)}, {"crop": (0.9, 0.1)}, {"aspect": (0.0, 1.0)}]
)
def test_impossible_windows_are_refused(change):
    with pytest.raises(UserError, match=f"augment.{next(iter(change))}"):
        replace(Augment(), **change).check()
