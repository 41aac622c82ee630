"""The U-Net of study C: its counts, its encoder by definition; and of both other kinds that gradients are finite."""

from dataclasses import replace

import counts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import plain
from models.segmenter import initialise, params_of, run, segmenter

from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.numerics import island

C = (64, 128, 256, 512, 1024)
GROUPED = UNet(widths=(4, 6, 8), norm=Norm("group", channel_groups=2))


def layers_of_the_u(channels, widths):
    """Both halves of a U-Net of max-poolings: (level, channels in, channels out) of its 3x3 and 2x2 convolutions."""
    down = [(level, c, d) for level, (c, d) in enumerate(zip((channels, *widths), widths, strict=False))]
    encoder = down + [(level, d, d) for level, _, d in down]
    doubled = [(level, widths[level + 1], widths[level]) for level in range(len(widths) - 1)]
    decoder = [(level, 2 * d, d) for level, _, d in doubled] + [(level, d, d) for level, _, d in doubled]
    return encoder, decoder, doubled


def test_study_c_has_the_parameters_and_multiply_adds_of_the_classic_u_net():
    """The published count is that of the classic U-Net with 3 channels and one output, normalised throughout and
    without biases under the norms: ours differ from it by those, and by the norms that study C's decoder has not."""
    encoder, decoder, doubled = layers_of_the_u(3, C)
    normalised = sum(9 * c * d + 2 * d for _, c, d in encoder + decoder)
    assert normalised + sum(4 * c * d + d for _, c, d in doubled) + 64 + 1 == 31_037_633

    encoder, decoder, doubled = layers_of_the_u(1, C)
    left = sum(9 * c * d + 3 * d for _, c, d in encoder)
    right = sum(9 * c * d + d for _, c, d in decoder) + sum(4 * c * d + d for _, c, d in doubled)
    parts = segmenter(UNet.study_c(), outputs=2, scales=1)
    images = jax.ShapeDtypeStruct((1, 224, 224, 1), jnp.float32)
    variables = jax.eval_shape(lambda x: initialise(parts, x), images)
    assert [plain.count(variables[name]["params"]) for name in parts] == [left, right, 2 * 64 + 2]
    assert round((left + right + 130) / 1e6, 2) == 31.04

    pixels = [(224 >> level) ** 2 for level in range(5)]
    adds = sum(9 * c * d * pixels[level] for level, c, d in encoder + decoder)
    adds += sum(c * d * pixels[level] for level, c, d in doubled) + 2 * 64 * pixels[0]
    jaxpr = jax.make_jaxpr(lambda v, x: run(parts, v, x, False))(variables, images)
    assert counts.multiply_adds(jaxpr.jaxpr) == adds


def test_the_encoder_of_study_c_is_its_definition():
    """3x3 convolutions with biases, batches of two, ReLUs, the largest of 2x2 pixels, and of the coarsest map."""
    with jax.enable_x64(True):
        options = replace(UNet.study_c(), widths=(4, 6, 8))
        images = np.random.default_rng(5).normal(size=(4, 16, 24, 3))
        encoder = options.encoder(jnp.float64, 2)
        variables = plain.variables_of(encoder, images)
        features, _ = jax.jit(lambda v: encoder.apply(v, images, True, mutable=["moments"]))(variables)
        x = images
        for level, found in enumerate(features.maps):
            x = x.reshape(4, 16 >> level, 2, 24 >> level, 2, -1).max((2, 4)) if level else x
            for layer in variables["params"][f"level{level}"].values():
                x = plain.convolved(x, layer["conv"]) + layer["bias"]
                x = plain.rectified(plain.by_batches(2)(x, layer["norm"]))
            np.testing.assert_allclose(found, x, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(features.embedding, x.max((1, 2)), rtol=1e-9)


@pytest.mark.parametrize("options", [replace(UNet.study_c(), widths=(4, 6, 8)), GROUPED], ids=["study c", "group"])
def test_of_other_kinds_too_the_gradient_is_finite_in_bfloat16_on_the_smallest_images(options):
    parts = segmenter(options, outputs=2, scales=1, dtype=jnp.bfloat16, rows=2)
    images = jnp.asarray(np.random.default_rng(5).normal(size=(4, 4, 8, 2)), jnp.float32)
    variables = plain.drawn(jax.eval_shape(lambda: initialise(parts, images)))

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        given = {name: {**variables[name], "params": params[name]} for name in params}
        maps, embedding = run(parts, given, images, True)
        return jnp.square(island(maps[0]) - 0.5).mean() + embedding.mean()

    value, gradient = loss(params_of(variables))
    assert value.dtype == jnp.float32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert np.abs(gradient["encoder"]["level0"]["first"]["conv"]["kernel"]).max() > 0
    assert np.abs(gradient["decoder"]["level1"]["second"]["bias"]).max() > 0
    assert "statistics" not in variables["decoder"]
