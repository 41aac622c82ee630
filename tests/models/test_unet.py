"""The U-Net: the counts of study B, its layers against their definitions, and laws of its arithmetic."""

import functools
from dataclasses import replace

import counts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import plain
from models.segmenter import initialise, params_of, run, segmenter

from jaxssl.errors import UserError
from jaxssl.models.heads import PixelHeads, Projector
from jaxssl.models.norm import Norm
from jaxssl.models.pyramid import Upsample
from jaxssl.models.unet import UNet
from jaxssl.numerics import island

TINY = UNet(widths=(4, 6, 8), norm=Norm(group=2))
GROUPED = replace(TINY, norm=Norm("group", channel_groups=2))


def test_counter_on_known_products():
    jaxpr = jax.make_jaxpr(jax.jit(lambda a, b: a @ b))(jnp.ones((3, 5)), jnp.ones((5, 7)))
    assert counts.multiply_adds(jaxpr.jaxpr) == 3 * 5 * 7
    looped = jax.make_jaxpr(lambda a, b: jax.lax.scan(jax.remat(lambda x, _: (x @ b, None)), a, None, 4))
    assert counts.multiply_adds(looped(jnp.ones((3, 5)), jnp.ones((5, 5))).jaxpr) == 4 * 3 * 5 * 5


def test_study_b_has_the_published_parameters_and_multiply_adds():
    parts = segmenter(UNet(), outputs=4, scales=6)
    images = jax.ShapeDtypeStruct((1, 256, 256, 1), jnp.float32)
    variables = jax.eval_shape(lambda x: initialise(parts, x), images)
    assert round(plain.count(variables["encoder"]["params"]) / 1e6, 2) == 14.16
    assert round(plain.count(params_of(variables)) / 1e6, 2) == 33.47
    jaxpr, (maps, _) = jax.make_jaxpr(lambda v, x: run(parts, v, x, False), return_shape=True)(variables, images)
    assert counts.multiply_adds(jaxpr.jaxpr) == pytest.approx(14.76e9, rel=0.01)
    assert [m.shape for m in maps] == [(1, 256 >> scale, 256 >> scale, 4) for scale in range(6)]


def test_upsample_is_the_transposed_convolution():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    kernel, bias = jax.random.normal(jax.random.key(1), (5, 2, 2, 6)), jnp.arange(6.0)  # kernel: c, i, j, d
    y = Upsample(6, jnp.float32).apply({"params": {"kernel": kernel, "bias": bias}}, x) - bias
    expected = jax.lax.conv_transpose(
        x,
        kernel.transpose(1, 2, 0, 3)[::-1, ::-1],
        (2, 2),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        transpose_kernel=False,
    )
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(y[0, 5, 2], x[0, 2, 1] @ kernel[:, 1, 0], atol=1e-5)


def test_upsampling_begins_without_a_checkerboard_and_keeps_the_variance():
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 64))
    y, _ = Upsample(256, jnp.float32).init_with_output(jax.random.key(1), x)
    np.testing.assert_array_equal(y, jnp.repeat(jnp.repeat(y[:, ::2, ::2], 2, 1), 2, 2))
    assert float(y.var()) == pytest.approx(float(x.var()), rel=0.1)


@pytest.mark.parametrize("train", [True, False])
def test_recomputed_levels_change_neither_output_nor_moments_nor_gradient(train):
    with jax.enable_x64(True):
        parts, variables, images = build(jnp.float64)
        again = segmenter(replace(TINY, remat=2), outputs=3, scales=2, dtype=jnp.float64, rows=2)

        @functools.partial(jax.jit, static_argnums=0)
        def everything(parts, params):
            def loss(params):
                x, moments = images, {}
                for name, part in parts:
                    given = {**variables[name], "params": params[name]}
                    x, moments[name] = part.apply(given, x, train, mutable=["moments"])
                return sum(jnp.square(m - 0.5).mean() for m in x), (x, moments)

            return jax.value_and_grad(loss, has_aux=True)(params)

        wanted, got = (everything(tuple(p.items()), params_of(variables)) for p in (parts, again))
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@functools.cache
def memory(remat):
    """Bytes kept for the backward pass, and temporary bytes once compiled."""
    parts = segmenter(UNet(widths=(8, 16, 32), norm=Norm(group=2), remat=remat), outputs=1, scales=1, rows=2)
    images = jnp.ones((4, 64, 64, 1))
    variables = jax.eval_shape(lambda: initialise(parts, images))

    def loss(params, statistics):
        given = {name: {"params": params[name], **statistics[name]} for name in params}
        return jnp.square(run(parts, given, images, True)[0][0] - 0.5).mean()

    running = {name: {"statistics": v["statistics"]} if "statistics" in v else {} for name, v in variables.items()}
    arguments = params_of(variables), running
    return counts.kept_bytes(loss, *arguments), counts.temporary_bytes(loss, *arguments)


def test_the_finest_levels_hold_most_of_the_memory_and_recomputing_them_frees_it():
    assert memory(1)[0] < 0.55 * memory(0)[0]
    assert memory(2)[0] < 0.25 * memory(0)[0]
    if jax.__version_info__ >= (0, 11):  # before, the compiler for CPUs undid recomputation outside loops
        assert memory(1)[1] < 0.85 * memory(0)[1]
        assert memory(2)[1] < 0.65 * memory(0)[1]


@functools.cache
def build(dtype):
    """A tiny segmenter, its variables (drawn by numpy: nothing to compile), and four images 16 x 24 of 3 channels."""
    parts = segmenter(TINY, outputs=3, scales=2, dtype=dtype, rows=2)
    wide = jnp.promote_types(dtype, jnp.float32)
    images = jnp.asarray(np.random.default_rng(5).normal(size=(4, 16, 24, 3)), wide)
    variables = jax.eval_shape(lambda: initialise(parts, images))
    return parts, plain.drawn(variables), images


@functools.cache
def loss_and_gradient(dtype, train):
    """Of the parameters of all parts and the images; the loss sees each map and the embedding. Compiled once."""
    parts, variables, _ = build(dtype)

    def loss(params, images):
        given = {name: {**variables[name], "params": params[name]} for name in params}
        maps, embedding = run(parts, given, images, train)
        return sum(jnp.square(island(m) - 0.5).mean() for m in maps) + embedding.mean()

    return jax.jit(jax.value_and_grad(loss))


def test_embedding_is_the_average_of_the_coarsest_map_whatever_the_channels_and_sides():
    parts, variables, images = build(jnp.float32)
    features = jax.jit(lambda v, x: parts["encoder"].apply(v, x, False))(variables["encoder"], images)
    assert [m.shape[1:] for m in features.maps] == [(16, 24, 4), (8, 12, 6), (4, 6, 8)]
    np.testing.assert_allclose(features.embedding, np.asarray(features.maps[-1]).mean((1, 2)), atol=1e-6)


def test_in_evaluation_a_sample_is_alone():
    parts, variables, images = build(jnp.float32)
    together, _ = run(parts, variables, images, False)
    alone, _ = run(parts, variables, images[2:3], False)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a[2:3], b, atol=1e-5)


def test_bias_before_the_norm_has_no_gradient_in_training_only():
    _, variables, images = build(jnp.float32)
    bias = {}
    for train in (True, False):
        _, gradient = loss_and_gradient(jnp.float32, train)(params_of(variables), images)
        bias[train] = np.abs(gradient["encoder"]["level1"]["first"]["bias"]).max()
    assert bias[True] == 0.0
    assert bias[False] > 1e-4


def test_micro_batches_of_whole_groups_give_the_same_gradient():
    """In float64: in float32 the order of sums alone comes to 1e-5 of the smallest leaves."""
    with jax.enable_x64(True):
        _, variables, images = build(jnp.float64)
        value_and_grad = loss_and_gradient(jnp.float64, True)
        whole_loss, whole = value_and_grad(params_of(variables), images)
        halves = [value_and_grad(params_of(variables), half) for half in jnp.split(images, 2)]
        loss, gradient = jax.tree.map(lambda a, b: (a + b) / 2, *halves)
        np.testing.assert_allclose(loss, whole_loss, rtol=1e-12)
        for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9 * float(jnp.abs(b).max()))


def test_bfloat16_is_close_and_its_gradient_finite():
    """Stated beforehand: 8 bits of mantissa through 10 layers, so 5% of the largest value."""
    parts, variables, images = build(jnp.float32)
    low_parts, low_variables, _ = build(jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(low_variables))
    maps, _ = run(parts, variables, images, True)
    low_maps, low_embedding = run(low_parts, variables, images, True)
    assert low_maps[0].dtype == jnp.bfloat16
    assert low_embedding.dtype == jnp.float32
    for low, high in zip(low_maps, maps, strict=True):
        np.testing.assert_allclose(low.astype(jnp.float32), high, atol=0.05 * float(jnp.abs(high).max()))
    _, gradient = loss_and_gradient(jnp.bfloat16, True)(params_of(variables), images)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_gradient_in_float64_equals_finite_differences():
    with jax.enable_x64(True):
        _, variables, images = build(jnp.float64)
        params = params_of(variables)
        value_and_grad = loss_and_gradient(jnp.float64, True)
        _, gradient = value_and_grad(params, images)
        direction = plain.drawn(params)
        ends = [
            value_and_grad(jax.tree.map(lambda p, d, h=h: p + h * d, params, direction), images)[0]
            for h in (1e-6, -1e-6)
        ]
        slope = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)))
        assert slope.dtype == jnp.float64
        np.testing.assert_allclose((ends[0] - ends[1]) / 2e-6, slope, rtol=1e-5)


def test_activations_keep_their_size_through_the_depth():
    """He initialisation: without normalisation's help (evaluation, statistics 0 and 1) nothing explodes or dies."""
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32, 32, 1)), jnp.float32)
    encoder = UNet(widths=(16, 32, 64)).encoder(jnp.float32, 2)
    features, _ = jax.jit(lambda key: encoder.init_with_output(key, images, False))(jax.random.key(1))
    squares = [float(jnp.square(m).mean()) for m in features.maps]
    assert all(0.2 < s < 3.0 for s in squares), squares


@pytest.mark.parametrize(
    ("options", "size", "words"),
    [
        (TINY, (16, 18), "divisible by 4, not 16x18"),
        (UNet(), (96, 96), "divisible by 64"),
        (UNet(widths=(8,)), (16, 16), "two levels"),
    ],
)
def test_impossible_networks_and_sizes_are_refused(options, size, words):
    with pytest.raises(UserError, match=words):
        options.check_size(size)


@pytest.mark.parametrize("remat", [-1, 4])
def test_more_levels_to_recompute_than_there_are_are_refused(remat):
    replace(TINY, remat=3).check()
    with pytest.raises(UserError, match=f"from 0 to 3, not {remat}"):
        replace(TINY, remat=remat).check()


@pytest.mark.parametrize("slope", [-0.1, 1.0])
def test_a_slope_of_no_leaky_relu_is_refused(slope):
    with pytest.raises(UserError, match=f"model.slope .* not {slope}"):
        replace(TINY, slope=slope).check()


def test_samples_normalised_together_are_those_of_a_batch_norm():
    assert (TINY.group, GROUPED.group) == (2, 1)


def test_more_scales_than_the_decoder_has_are_refused():
    maps = (jnp.ones((1, 4, 4, 2)), jnp.ones((1, 2, 2, 2)))
    with pytest.raises(UserError, match="3 scales"):
        PixelHeads(1, scales=3).init(jax.random.key(0), maps, False)


def test_projector_against_numpy():
    x = jax.random.normal(jax.random.key(0), (3, 5))
    head = Projector((7, 4))
    variables = head.init(jax.random.key(1), x, True)
    first, second = (variables["params"][n] for n in ("layer0", "layer1"))
    hidden = np.maximum(np.asarray(x) @ first["kernel"] + first["bias"], 0)
    np.testing.assert_allclose(head.apply(variables, x, True), hidden @ second["kernel"] + second["bias"], atol=1e-5)
    published = jax.eval_shape(lambda: Projector().init(jax.random.key(0), jnp.ones((1, 512)), True))
    assert plain.count(published) == 2 * 513 * 512
