"""Whole views: independent of the batch, mask and image together, impossible options refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.augment.affine import draw_affine, resample
from jaxssl.augment.options import Augment
from jaxssl.augment.views import augment, standardise
from jaxssl.errors import UserError

SHAPE = (24, 40)


def batch(n, dtype=np.uint16):
    rng = np.random.default_rng(0)
    return {
        "image": jnp.asarray(rng.integers(0, np.iinfo(dtype).max, (n, *SHAPE, 1)), dtype),
        "mask": jnp.asarray(rng.integers(0, 4, (n, *SHAPE)), jnp.uint8),
        "spacing": jnp.asarray(rng.uniform(1, 2, (n, 2)), jnp.float32),
        "mean": jnp.asarray(rng.uniform(50, 200, n), jnp.float32),
        "std": jnp.asarray(rng.uniform(50, 200, n), jnp.float32),
    }


def keys(n):
    return jax.vmap(lambda place: jax.random.fold_in(jax.random.key(7), place))(jnp.arange(n))


@jax.jit
def views(keys, batch):
    def one(key, sample):
        image = standardise(sample["image"], sample["mean"], sample["std"])
        return augment(key, image, sample["mask"], sample["spacing"], Augment())

    return jax.vmap(one)(keys, batch)


def test_a_sample_alone_equals_the_sample_in_a_batch():
    image, mask = views(keys(64), batch(64))
    alone, alone_mask = views(keys(64)[5:6], jax.tree.map(lambda leaf: leaf[5:6], batch(64)))
    np.testing.assert_allclose(alone[0], image[5], atol=1e-6 * float(jnp.abs(image[5]).max()))
    np.testing.assert_array_equal(alone_mask[0], mask[5])


def test_other_keys_give_other_views():
    one = jax.tree.map(lambda leaf: jnp.repeat(leaf, 8, axis=0), batch(1))
    image, _ = views(keys(8), one)
    for a in range(8):
        for b in range(a):
            assert float(jnp.abs(image[a] - image[b]).mean()) > 0.05


def test_mask_and_image_move_together():
    """The image is its own mask: away from edges, the image says the label that the mask says."""
    blocks = np.kron(np.arange(15).reshape(3, 5) % 4, np.ones((8, 8)))
    options = replace(Augment(), noise=0.0, blur=0.0, contrast=(1.0, 1.0), brightness=0.0, gamma=(1.0, 1.0))
    mask = jnp.asarray(blocks, jnp.uint8)
    seen = 0
    for key in keys(6):
        image, moved = augment(key, mask[..., None].astype(jnp.float32), mask, jnp.array([1.5, 1.0]), options)
        sure = np.abs(image[..., 0] - np.round(image[..., 0])) < 1e-3
        # Between labels 0 and 2 a blend of both may read 1: compare where the neighbourhood is of one label.
        calm = sure & (np.abs(np.gradient(np.asarray(moved, float))).max(0) == 0)
        np.testing.assert_array_equal(np.round(image[..., 0])[calm], np.asarray(moved)[calm])
        seen += int(np.count_nonzero(np.asarray(moved)[calm]))
    assert seen > 500


def test_the_geometry_can_be_drawn_again():
    """What a method with geometric targets relies on."""
    sample = jax.tree.map(lambda leaf: leaf[0], batch(1))
    image = standardise(sample["image"], sample["mean"], sample["std"])
    options = replace(Augment(), noise=0.0, blur=0.0, contrast=(1.0, 1.0), brightness=0.0, gamma=(1.0, 1.0))
    view, mask = augment(keys(1)[0], image, sample["mask"], sample["spacing"], options)
    matrix = draw_affine(keys(1)[0], options, SHAPE, sample["spacing"])
    again, again_mask = resample(matrix, image, sample["mask"])
    np.testing.assert_array_equal(view, again)
    np.testing.assert_array_equal(mask, again_mask)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_standardise_keeps_all_bits(dtype):
    sample = jax.tree.map(lambda leaf: leaf[0], batch(1, dtype))
    ours = standardise(sample["image"], sample["mean"], sample["std"])
    theirs = (np.asarray(sample["image"], np.float64) - float(sample["mean"])) / float(sample["std"])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_float64_stays_float64():
    with jax.enable_x64(True):
        wide = jnp.zeros(SHAPE).at[5:9].set(1.0)[..., None]
        spacing = jnp.array([1.0, 1.0])
        view, _ = jax.jit(lambda key: augment(key, wide, None, spacing, Augment()))(jax.random.key(0))
        assert view.dtype == jnp.float64


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"noise": 1.2}, "augment.noise=1.2"),
        ({"flip": -0.1}, "augment.flip"),
        ({"scale": (1.4, 0.7)}, "augment.scale"),
        ({"scale": (0.0, 1.0)}, "augment.scale"),
        ({"gamma": (-0.5, 1.0)}, "augment.gamma"),
        ({"rotation": -10.0}, "augment.rotation"),
        ({"noise_std": float("nan")}, "augment.noise_std"),
    ],
)
def test_impossible_options_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        replace(Augment(), **change).check()
    Augment().check()
