"""The vision transformer: published counts, its two ends, and what is refused."""

import math
from dataclasses import replace

import counts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.small_vit import SIZE, TINY, build_vit, filled, images, run

from jaxssl.errors import UserError
from jaxssl.methods import mim, segment
from jaxssl.methods.base import Spec, build
from jaxssl.models.patches import Patches
from jaxssl.models.positions import Positions
from jaxssl.models.unet import UNet
from jaxssl.models.vit import ViT


@pytest.mark.parametrize(
    ("options", "parameters", "billions"),
    [
        (ViT.tiny(), 5_524_416, 1.26),
        (ViT.small(), 21_665_664, 4.61),
        (ViT.base(), 85_798_656, 17.58),
        (ViT.large(), 303_301_632, 61.60),
    ],
)
@pytest.mark.parametrize("scan", [False, True])
def test_published_parameters_and_multiply_adds(options, parameters, billions, scan):
    encoder = replace(options, scan=scan).encoder(jnp.float32, rows=1)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: encoder.init(jax.random.key(0), x, False), image)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables)) == parameters
    work = counts.multiply_adds(jax.make_jaxpr(lambda v, x: encoder.apply(v, x, False))(variables, image).jaxpr)
    tokens, width = 197, options.width
    by_block = 12 * tokens * width**2 + 2 * tokens**2 * width
    assert work == options.depth * by_block + 196 * 16 * 16 * 3 * width
    assert work == pytest.approx(billions * 1e9, rel=0.01)


def test_patches_are_the_strided_convolution():
    x = images(2, (12, 8), 3)
    module = Patches((4, 2), 5, jnp.float32)
    params = jax.tree_util.tree_map_with_path(filled, module.init(jax.random.key(0), x)["params"])
    expected = jax.lax.conv_general_dilated(
        x, params["kernel"], (4, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    expected = (expected + params["bias"]).reshape(2, 12, 5)
    np.testing.assert_allclose(module.apply({"params": params}, x), expected, atol=1e-5)
    visible = jnp.array([[11, 0, 5], [3, 4, 2]])
    chosen = np.stack([expected[0][visible[0]], expected[1][visible[1]]])
    np.testing.assert_allclose(module.apply({"params": params}, x, visible), chosen, atol=1e-5)


def test_positions_at_their_own_grid_are_the_parameters_and_elsewhere_are_interpolated():
    module = Positions(has_class=True, dtype=jnp.float32)
    y, x = np.meshgrid(np.arange(12.0), np.arange(16.0), indexing="ij")
    linear = jnp.asarray(np.stack([np.full_like(x, 3.0), 2 * y - x], axis=-1), jnp.float32)
    params = {"grid": linear, "token": jnp.array([1.0, 2.0])}
    own, token = module.apply({"params": params}, 12, 16, 2)
    np.testing.assert_array_equal(own, linear)
    np.testing.assert_array_equal(token, params["token"])
    for height, width in ((24, 32), (18, 16), (6, 8)):
        other, _ = module.apply({"params": params}, height, width, 2)
        np.testing.assert_allclose(other[..., 0], 3.0, atol=1e-5)
        # Centres of the new cells in units of the old; at the rim there is nothing to interpolate from.
        old_y, old_x = ((np.arange(n) + 0.5) * m / n - 0.5 for n, m in ((height, 12), (width, 16)))
        inside = (slice(height // 3, -(height // 3)), slice(width // 4, -(width // 4)))
        expected = 2 * old_y[:, None] - old_x[None]
        np.testing.assert_allclose(other[..., 1][inside], expected[inside], atol=1e-4)


def test_another_image_size_goes_through_the_same_parameters():
    """Parameters as they come from a checkpoint: numpy arrays, closed over."""
    encoder, params = build_vit(TINY)
    stored = jax.device_get(params)
    features = jax.jit(lambda x: encoder.apply({"params": stored}, x, False))(images(2, (24, 8)))
    assert features.maps[0].shape == (2, 6, 4, 16)
    grid = jax.image.resize(params["positions"]["grid"], (6, 4, 16), "bicubic")
    resized = {**params, "positions": {**params["positions"], "grid": grid}}
    np.testing.assert_allclose(features.maps[0], run(encoder, resized, images(2, (24, 8)), False).maps[0], atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mean_is_of_the_patches_alone(channels):
    options = replace(TINY, pool="mean")
    encoder, params = build_vit(options, channels=channels)
    assert params["tokens"].shape == (2, 16)
    assert set(params["positions"]) == {"grid"}
    features = run(encoder, params, images(2, SIZE, channels), False)
    assert features.maps[0].shape == (2, 4, 6, 16)
    np.testing.assert_allclose(features.embedding, np.asarray(features.maps[0]).mean((1, 2)), atol=1e-6)
    assert set(build_vit(replace(options, registers=0))[1]) == {
        "patch", "positions", "norm", "block0", "block1", "block2"
    }  # fmt: skip


def test_a_patch_keeps_its_place_in_the_map():
    """Without blocks that mix, the map at a place depends on the patch at that place and on nothing else."""
    encoder, params = build_vit(TINY)
    params = {name: jax.tree.map(jnp.zeros_like, p) if name.startswith("block") else p for name, p in params.items()}
    x = images(1)
    changed = x.at[0, 4:8, 6:8].add(jnp.arange(8.0).reshape(4, 2, 1))
    difference = np.abs(run(encoder, params, x, False).maps[0] - run(encoder, params, changed, False).maps[0]).max(-1)
    assert np.argwhere(difference[0] > 0).tolist() == [[1, 3]]


def test_parameters_begin_small():
    encoder = TINY.encoder(jnp.float32, rows=1)
    params = jax.jit(lambda key: encoder.init(key, images(1), False))(jax.random.key(0))["params"]
    kernel = np.asarray(params["block1"]["mlp"]["in"]["kernel"])
    assert np.abs(kernel).max() <= 0.04
    assert kernel.std() == pytest.approx(0.02 * 0.88, rel=0.05)  # what is left of a normal cut at two deviations
    assert not np.any(params["block1"]["attention"]["qkv"]["bias"])
    np.testing.assert_array_equal(params["block1"]["mlp_scale"], np.float32(0.5))


def test_training_without_keys_is_refused_where_they_are_needed():
    encoder, params = build_vit(TINY)
    with pytest.raises(ValueError, match="one key a sample"):
        encoder.apply({"params": params}, images(), True)
    run(*build_vit(replace(TINY, drop_path=0.0)), images(), True)


@pytest.mark.parametrize("options", [mim.Options(patch=4), segment.Options()])
def test_methods_that_need_a_decoder_refuse_a_vit(options):
    spec = Spec(SIZE, classes=4)
    build(options, UNet(widths=(4, 8)), spec)
    build(options, replace(TINY, patch=4, decoder_widths=(4, 8)), spec)
    with pytest.raises(UserError, match="needs a decoder, which a ViT does not have unless model"):
        build(options, TINY, spec)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heads": 3}, "model.heads 3 does not divide model.width 16"),
        ({"depth": 0}, "model.depth must be at least 1"),
        ({"patch": (4, 0)}, "model.patch must be at least 1"),
        ({"drop_path": 1.0}, "model.drop_path is a probability"),
        ({"positions": "sincos", "width": 18}, "model.positions sincos needs model.width in fours"),
        ({"registers": -1}, "model.registers cannot be negative"),
        ({"mlp_ratio": 0.0}, "model.mlp_ratio must be above 0"),
    ],
)
def test_impossible_networks_are_refused(change, words):
    TINY.check()
    with pytest.raises(UserError, match=words):
        replace(TINY, **change).check()


def test_an_image_that_patches_do_not_divide_is_refused():
    with pytest.raises(UserError, match="Patches of 4x2 do not divide an image of 16x13"):
        TINY.check_size((16, 13))
