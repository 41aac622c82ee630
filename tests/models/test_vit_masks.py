"""The vision transformer on masked images: patches behind a token, and patches that are not there at all."""

import math
from dataclasses import replace

import counts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.small_vit import TINY, build_vit, images, keys, run

from jaxssl.models.vit import ViT

HIDDEN = np.arange(4 * 24).reshape(4, 24) % 5 < 2
"""Some patches of four images of SIZE, others in each."""


def with_token(params):
    return {**params, "mask_token": jnp.linspace(-1.0, 1.0, 16)}


def over(images, patches, value):
    """Images with a value in the place of some patches, given as a mask."""
    pixels = patches.reshape(-1, 4, 6).repeat(4, axis=1).repeat(2, axis=2)[..., None]
    return jnp.where(pixels, value, images)


@pytest.mark.parametrize("scan", [False, True])
def test_the_mask_token_is_there_only_where_patches_are_hidden(scan):
    encoder = replace(TINY, scan=scan, remat=scan).encoder(jnp.float32, rows=1)

    def count(**masks):
        shapes = jax.eval_shape(lambda x: encoder.init(jax.random.key(0), x, False, **masks), images())["params"]
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)), "mask_token" in shapes

    plain, has = count()
    assert not has
    assert count(visible=jnp.zeros((4, 3), jnp.int32)) == (plain, False)
    assert count(hidden=HIDDEN) == (plain + 16, True)


@pytest.mark.parametrize("way", [{}, {"scan": True, "remat": True}], ids=str)
def test_hidden_patches_are_a_token_whatever_was_there(way):
    """In training, with branches left out at random. The token replaces what a patch was embedded as, not its place."""
    encoder, params = build_vit(replace(TINY, **way))
    params, x = with_token(params), images()
    seen = run(encoder, params, x, True, keys(4), hidden=jnp.asarray(HIDDEN))
    other = run(encoder, params, over(x, HIDDEN, 7.0), True, keys(4), hidden=jnp.asarray(HIDDEN, jnp.float32))
    np.testing.assert_array_equal(seen.maps[0], other.maps[0])
    nothing = run(encoder, params, x, True, keys(4), hidden=jnp.zeros((4, 24)))
    np.testing.assert_array_equal(nothing.embedding, run(encoder, params, x, True, keys(4)).embedding)
    # Pixels that a linear embedding takes to the token give the same as the token.
    blank = {**params, "patch": {**params["patch"], "bias": params["mask_token"]}}
    by_pixels = run(encoder, blank, over(x, np.ones_like(HIDDEN), 0.0), True, keys(4))
    by_token = run(encoder, params, x, True, keys(4), hidden=jnp.ones((4, 24)))
    np.testing.assert_allclose(by_token.maps[0], by_pixels.maps[0], atol=1e-5)


def test_the_token_learns_and_hidden_pixels_teach_nothing():
    encoder, params = build_vit(TINY)

    def loss(params, x):
        maps = encoder.apply({"params": params}, x, True, keys(4), hidden=HIDDEN).maps[0]
        return jnp.square(maps - 0.5).mean()

    of_params, of_pixels = jax.jit(jax.grad(loss, (0, 1)))(with_token(params), images())
    assert np.abs(of_params["mask_token"]).min() > 0
    np.testing.assert_array_equal(over(of_pixels, ~HIDDEN, 0.0), jnp.zeros_like(of_pixels))
    assert np.abs(of_pixels).max() > 0


@pytest.mark.parametrize("positions", ["learnt", "sincos"])
@pytest.mark.parametrize("pool", ["token", "mean"])
def test_all_patches_visible_is_no_mask_and_their_order_is_that_of_the_map(pool, positions):
    encoder, params = build_vit(replace(TINY, pool=pool, positions=positions))
    whole = run(encoder, params, images(), True, keys(4))
    order = np.stack([np.random.default_rng(i).permutation(24) for i in range(4)])
    seen = run(encoder, params, images(), True, keys(4), visible=jnp.asarray(order))
    assert seen.maps[0].shape == (4, 1, 24, 16)
    rows = np.take_along_axis(np.asarray(whole.maps[0]).reshape(4, 24, 16), order[..., None], axis=1)
    np.testing.assert_allclose(seen.maps[0][:, 0], rows, atol=2e-5)
    np.testing.assert_allclose(seen.embedding, whole.embedding, atol=1e-5)


@pytest.mark.parametrize("way", [{}, {"scan": True, "remat": True}], ids=str)
def test_what_is_not_visible_plays_no_part(way):
    encoder, params = build_vit(replace(TINY, **way))
    visible = jnp.asarray([np.flatnonzero(~row)[:14] for row in HIDDEN])
    some = run(encoder, params, images(), True, keys(4), visible=visible)
    other = run(encoder, params, over(images(), HIDDEN, 7.0), True, keys(4), visible=visible)
    np.testing.assert_array_equal(some.maps[0], other.maps[0])
    alone = run(encoder, params, images()[2:3], True, keys(4)[2:3], visible=visible[2:3])
    np.testing.assert_allclose(alone.embedding[0], some.embedding[2], atol=1e-5)
    assert np.abs(some.embedding - run(encoder, params, images(), True, keys(4)).embedding).max() > 1e-2


@pytest.mark.parametrize("options", [ViT.small(), ViT.base()])
def test_a_quarter_of_the_patches_costs_less_than_three_tenths(options):
    encoder = replace(options, scan=True).encoder(jnp.float32, rows=1)
    image = jax.ShapeDtypeStruct((1, 224, 224, 1), jnp.float32)
    variables = jax.eval_shape(lambda x: encoder.init(jax.random.key(0), x, False), image)

    def work(**masks):
        return counts.multiply_adds(
            jax.make_jaxpr(lambda v, x: encoder.apply(v, x, False, **masks))(variables, image).jaxpr
        )

    assert work(visible=jnp.arange(49)[None]) <= 0.3 * work()


def test_hidden_and_visible_at_once_are_refused():
    encoder, params = build_vit(TINY)
    with pytest.raises(ValueError, match="not both at once"):
        run(encoder, with_token(params), images(), False, hidden=HIDDEN, visible=jnp.zeros((4, 2), jnp.int32))
