"""Variables made to fit: what goes over must say the same, seen through the networks themselves."""

import functools
import zlib
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.models.fit import fitted, spread
from jaxssl.models.norm import Norm
from jaxssl.models.positions import Positions
from jaxssl.models.unet import UNet
from jaxssl.models.vit import ViT

VIT = ViT(patch=4, width=8, depth=3, heads=2)
UNET = UNet(widths=(4, 8), norm=Norm(group=1))


def images(channels=1, size=(16, 12)):
    return jnp.asarray(np.random.default_rng(2).normal(size=(2, *size, channels)), jnp.float32)


@functools.cache
def built(options, channels=1, size=(16, 12), **masks):
    """An encoder and the variables of its part as they come from a file: numpy arrays, each drawn by its name."""

    def draw(path, leaf):
        name = jax.tree_util.keystr(path)
        draws = np.random.default_rng(zlib.crc32(name.encode())).normal(size=leaf.shape)
        return np.asarray(0.3 * draws + (path[-1].key in ("scale", "var")), leaf.dtype)

    encoder = options.encoder(jnp.float32, rows=options.group)
    shapes = jax.eval_shape(lambda x: encoder.init(jax.random.key(0), x, False, **masks), images(channels, size))
    variables = jax.tree_util.tree_map_with_path(draw, {"statistics": {}, **shapes})
    variables["statistics"] = jax.tree.map(np.abs, variables["statistics"])
    return encoder, variables


def seen(encoder, variables, x):
    features = jax.jit(lambda v, x: encoder.apply(v, x, False))(variables, x)
    return features.maps[-1], features.embedding


@pytest.mark.parametrize("options", [VIT, UNET], ids=["vit", "unet"])
def test_a_colour_network_sees_one_channel_as_grey_images(options):
    colour, of_colour = built(options, 3)
    grey, fresh = built(options, 1)
    variables, adapted = fitted(of_colour, fresh)
    (sentence,) = adapted
    assert sentence.endswith(": from 3 to 1 channels of the image, their sum shared equally.")
    x = images()
    for got, wanted in zip(seen(grey, variables, x), seen(colour, of_colour, jnp.repeat(x, 3, -1)), strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-6 * np.abs(wanted).max())
    assert np.abs(seen(grey, fresh, x)[1] - seen(grey, variables, x)[1]).max() > 1e-2


@pytest.mark.parametrize("channels", [2, 3])
def test_a_network_of_one_channel_sees_equal_channels_as_that_one(channels):
    grey, of_grey = built(UNET, 1)
    colour, fresh = built(UNET, channels)
    variables, adapted = fitted(of_grey, fresh)
    assert adapted[0].startswith(f"level0/first/conv/kernel: from 1 to {channels} channels of the image")
    x = images()
    got, wanted = seen(colour, variables, jnp.repeat(x, channels, -1))[0], seen(grey, of_grey, x)[0]
    np.testing.assert_allclose(got, wanted, atol=2e-6 * np.abs(wanted).max())


def test_from_three_channels_to_two_the_response_to_equal_ones_stays():
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 3, 5)), jnp.float32)
    new = spread(kernel, 2)
    np.testing.assert_allclose(new.sum(2), kernel.sum(2), atol=1e-6)
    np.testing.assert_array_equal(new[:, :, 0], new[:, :, 1])


@pytest.mark.parametrize("name", ["stem", "level0/conv0/conv"])
def test_first_convolutions_of_other_backbones_are_known_by_name(name):
    def tree(leaf):
        return {"params": functools.reduce(lambda inner, key: {key: inner}, name.split("/")[::-1], {"kernel": leaf})}

    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 5)).astype(np.float32)
    got, adapted = fitted(tree(kernel), tree(np.zeros((3, 3, 1, 5), np.float32)))
    np.testing.assert_allclose(jax.tree.leaves(got)[0][:, :, 0], kernel.sum(2), atol=1e-6)
    assert len(adapted) == 1
    other = tree(np.zeros((5, 5, 1, 5), np.float32))  # another kernel, which nothing is made of
    assert fitted(tree(kernel), other)[0]["params"] == tree(kernel)["params"]


def test_what_a_decoder_sees_is_no_image():
    def tree(channels):
        block = {"first": {"conv": {"kernel": np.ones((3, 3, channels, 4), np.float32)}}}
        return {"params": {"up0": {"kernel": np.ones((8, 2, 2, 4), np.float32)}, "level0": block}}

    given = tree(7)
    assert fitted(given, tree(5)) == (given, [])


def test_blocks_in_a_loop_and_one_by_one_give_the_same_to_the_bit():
    plain, loose = built(VIT)
    looped, stacked = built(replace(VIT, scan=True))
    together, adapted = fitted(loose, stacked)
    assert adapted == ["block0 to block2: stacked into blocks."]
    for got, wanted in zip(seen(looped, together, images()), seen(plain, loose, images()), strict=True):
        np.testing.assert_array_equal(got, wanted)
    apart, adapted = fitted(together, loose)
    assert adapted == ["blocks: taken apart into block0 to block2."]
    jax.tree.map(np.testing.assert_array_equal, apart, loose)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves([together, apart]))


def test_more_than_ten_blocks_keep_their_order():
    given = {f"block{n}": {"scale": np.full(2, n, np.float32)} for n in np.random.default_rng(0).permutation(12)}
    together, _ = fitted({"params": given}, {"params": {"blocks": {"scale": np.zeros((12, 2))}}})
    np.testing.assert_array_equal(together["params"]["blocks"]["scale"][:, 0], np.arange(12))


def test_blocks_that_are_not_alike_stay_for_the_caller_to_refuse():
    given = {"block0": {"scale": np.zeros(2)}, "block1": {"scale": np.zeros(2), "bias": np.zeros(2)}}
    assert fitted({"params": given}, {"params": {"blocks": {"scale": np.zeros((2, 2))}}}) == ({"params": given}, [])


def test_positions_stay_on_their_own_grid_and_elsewhere_are_those_of_use():
    encoder, given = built(VIT)
    same, adapted = fitted(given, built(VIT)[1])
    assert same["params"]["positions"]["grid"] is given["params"]["positions"]["grid"]
    assert not adapted
    fresh = built(VIT, size=(24, 20))[1]
    moved, adapted = fitted(given, fresh)
    assert adapted == ["positions/grid: interpolated from 4x3 to 6x5."]
    at_use, _ = Positions(True, jnp.float32).apply({"params": given["params"]["positions"]}, 6, 5, 8)
    np.testing.assert_allclose(moved["params"]["positions"]["grid"], at_use, atol=1e-6)
    x = images(size=(24, 20))
    for got, wanted in zip(seen(encoder, moved, x), seen(encoder, given, x), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_a_mask_token_is_left_behind_or_stays_fresh_and_one_that_is_there_and_here_goes_over():
    _, bare = built(VIT)
    token = {"params": {**bare["params"], "mask_token": np.arange(8.0)}}
    left, adapted = fitted(token, bare)
    assert "mask_token" not in left["params"]
    assert adapted == ["mask_token: left behind, as there is none here."]
    kept, adapted = fitted(bare, token)
    np.testing.assert_array_equal(kept["params"]["mask_token"], np.arange(8.0))
    assert adapted == ["mask_token: fresh, as none came."]
    with_both, adapted = fitted(bare, {"params": {**token["params"], "representation": {"layer0": np.ones(3)}}})
    np.testing.assert_array_equal(with_both["params"]["representation"]["layer0"], np.ones(3))
    assert adapted == ["mask_token: fresh, as none came.", "representation: fresh, as none came."]
    other = {"params": {**bare["params"], "mask_token": np.ones(8)}}
    np.testing.assert_array_equal(fitted(other, token)[0]["params"]["mask_token"], np.ones(8))


def test_all_at_once_on_abstract_arrays():
    """Shapes alone decide, so that a step can be traced with what will be taken over."""
    _, given = built(VIT, 3)
    _, fresh = built(replace(VIT, scan=True), 1, (24, 20))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), fresh)
    abstract = jax.eval_shape(lambda variables: fitted(variables, shapes)[0], given)
    assert jax.tree.map(jnp.shape, abstract) == jax.tree.map(jnp.shape, shapes)
    real, adapted = fitted(given, shapes)
    assert jax.tree.map(np.shape, real) == jax.tree.map(jnp.shape, shapes)
    assert len(adapted) == 3
