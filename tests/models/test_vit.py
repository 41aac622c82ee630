"""The vision transformer: published counts, its two ends, and that how it is run changes no number."""

import functools
import math
import zlib
from dataclasses import replace

import counts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves_with_path as leaves_with_path

from jaxssl.errors import UserError
from jaxssl.methods import mim, segment
from jaxssl.methods.base import Spec, build
from jaxssl.models.patches import Patches
from jaxssl.models.positions import Positions
from jaxssl.models.unet import UNet
from jaxssl.models.vit import ViT

TINY = ViT(patch=(4, 2), width=16, depth=3, heads=2, registers=2, layer_scale=0.5, drop_path=0.5)
SIZE = (16, 12)
WAYS = [{"remat": True}, {"scan": True}, {"scan": True, "remat": True}]


def filled(path, leaf):
    """Numbers for a leaf that depend on its path and on its layer, and not on whether layers are stacked."""

    def draw(name, shape):
        return 0.3 * np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape) + (path[-1].key == "scale")

    name = jax.tree_util.keystr(path)
    if "['blocks']" not in name:
        return jnp.asarray(draw(name, leaf.shape), leaf.dtype)
    layers = [draw(name.replace("blocks", f"block{layer}"), leaf.shape[1:]) for layer in range(len(leaf))]
    return jnp.asarray(np.stack(layers), leaf.dtype)


def stacked(params):
    """Params of an unrolled network as those of a scanned one."""
    blocks = [params[f"block{layer}"] for layer in range(TINY.depth)]
    others = {name: leaves for name, leaves in params.items() if not name.startswith("block")}
    return {**others, "blocks": jax.tree.map(lambda *layers: jnp.stack(layers), *blocks)}


def keys(n):
    return jax.random.split(jax.random.key(7), n)


def images(n=4, size=SIZE, channels=1, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(5).normal(size=(n, *size, channels)), dtype)


@functools.cache
def build_vit(options, dtype=jnp.float32, channels=1):
    """An encoder and its params, drawn by numpy."""
    encoder = options.encoder(dtype, rows=1)
    wide = jnp.promote_types(dtype, jnp.float32)
    shapes = jax.eval_shape(lambda x: encoder.init(jax.random.key(0), x, False), images(1, SIZE, channels, wide))
    return encoder, jax.tree_util.tree_map_with_path(filled, shapes["params"])


@functools.partial(jax.jit, static_argnums=(0, 3))
def run(encoder, params, x, train, sample_keys=None, **masks):
    return encoder.apply({"params": params}, x, train, sample_keys, **masks)


def loss_of(encoder, params, x):
    features = encoder.apply({"params": params}, x, True, keys(len(x)))
    return jnp.square(features.maps[0] - 0.5).mean() + jnp.sin(features.embedding).mean()


def assert_close(got, wanted, tolerance):
    def compare(path, a, b):
        error = np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max()
        assert error <= tolerance, (jax.tree_util.keystr(path), error)

    jax.tree_util.tree_map_with_path(compare, got, wanted)


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


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_remat_and_scan_change_neither_output_nor_gradient(way):
    """In float64, where nothing hides behind rounding; with stochastic depth, whose draws have to be the same."""
    with jax.enable_x64(True):
        x = images(8, dtype=jnp.float64)
        plain, params = build_vit(TINY, jnp.float64)
        wanted = jax.jit(jax.value_and_grad(functools.partial(loss_of, plain)))(params, x)
        other, other_params = build_vit(replace(TINY, **way), jnp.float64)
        if "scan" in way:
            wanted = (wanted[0], stacked(wanted[1]))
            jax.tree.map(np.testing.assert_array_equal, other_params, stacked(params))
        got = jax.jit(jax.value_and_grad(functools.partial(loss_of, other)))(other_params, x)
        assert min(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted[1])) > 0
        assert_close(got, wanted, 1e-11)


def deep(**way):
    """A loss and its arguments, of a network deep and small."""
    encoder, params = build_vit(replace(TINY, depth=8, drop_path=0.0, **way))
    return functools.partial(loss_of, encoder), params, images(16, (32, 32))


@pytest.mark.parametrize("scan", [False, True])
def test_remat_keeps_little_for_the_backward_pass(scan):
    assert counts.kept_bytes(*deep(scan=scan, remat=True)) < counts.kept_bytes(*deep(scan=scan)) / 5


@pytest.mark.parametrize("remat", [False, True])
def test_scan_makes_the_program_short(remat):
    def length(scan):
        loss, params, x = deep(scan=scan, remat=remat)
        return len(jax.jit(jax.grad(loss)).lower(params, x).as_text())

    assert length(True) < length(False) / 2


def test_remat_in_a_loop_takes_less_memory_once_compiled():
    """In a loop, because the CPU compiler of jax 0.10 undoes recomputation outside of one."""
    assert counts.temporary_bytes(*deep(scan=True, remat=True)) < counts.temporary_bytes(*deep(scan=True)) / 2


@pytest.mark.parametrize("options", [TINY, replace(TINY, scan=True, remat=True)], ids=["unrolled", "looped"])
def test_a_sample_alone_equals_itself_in_a_batch(options):
    encoder, params = build_vit(options)
    x = images(8)
    whole = run(encoder, params, x, True, keys(8))
    alone = run(encoder, params, x[5:6], True, keys(8)[5:6])
    np.testing.assert_allclose(alone.embedding[0], whole.embedding[5], atol=1e-5)
    np.testing.assert_allclose(alone.maps[0][0], whole.maps[0][5], atol=1e-5)
    still = run(encoder, params, x, False)
    assert np.abs(whole.embedding - still.embedding).max(axis=1).min() > 1e-2  # every sample lost a branch


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


def test_bfloat16_is_close_and_its_gradient_finite():
    """Stated beforehand: 8 bits of mantissa through 3 blocks, so 5% of the largest value."""
    encoder, params = build_vit(TINY)
    low, low_params = build_vit(TINY, jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(low_params))
    wanted, got = (run(e, params, images(), True, keys(4)) for e in (encoder, low))
    assert (got.maps[0].dtype, got.embedding.dtype) == (jnp.bfloat16, jnp.float32)
    for a, b in ((got.embedding, wanted.embedding), (got.maps[0].astype(jnp.float32), wanted.maps[0])):
        np.testing.assert_allclose(a, b, atol=0.05 * float(jnp.abs(b).max()))
    gradient = jax.jit(jax.grad(functools.partial(loss_of, low)))(params, images())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("options", [ViT.tiny(), ViT.small(), ViT.base(), ViT.large()], ids=lambda o: str(o.width))
def test_gradients_in_bfloat16_are_finite_at_every_width(options):
    """On two patches. A variant's blocks are all alike, so two of them are run for the 12 or 24."""
    encoder, x = replace(options, depth=2, scan=True).encoder(jnp.bfloat16, rows=1), images(2, (32, 16))
    shapes = jax.eval_shape(lambda: encoder.init(jax.random.key(0), x, False)["params"])
    draw = np.random.default_rng(0).standard_normal
    params = jax.tree.map(lambda leaf: 0.02 * draw(leaf.shape, np.float32), shapes)
    loss, gradient = jax.jit(jax.value_and_grad(functools.partial(loss_of, encoder)))(params, x)
    assert np.isfinite(loss)
    largest = {jax.tree_util.keystr(path): float(jnp.abs(g).max()) for path, g in leaves_with_path(gradient)}
    assert all(0 < value < np.inf for value in largest.values()), largest  # of nan neither is true


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
