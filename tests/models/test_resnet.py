"""The residual network: published counts, every layer against its definition, and laws of its arithmetic."""

from dataclasses import replace

import counts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import plain

from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet

TINY = ResNet(blocks=(2, 1), width=4, norm=Norm(group=2, channel_groups=2), decoder_widths=(2, 4, 4))
GROUPED = replace(TINY, bottleneck=True, norm=replace(TINY.norm, type="group"))
IMAGES = np.random.default_rng(5).normal(size=(4, 19, 14, 2))
"""Odd and even sides that halving rounds up."""


def encoded(layers, images, normalised):
    """Maps in numpy: stem, then the levels."""
    maps = [plain.rectified(normalised(plain.convolved(images, layers["stem"], 2), layers["stem_norm"]))]
    x = plain.max_pooled(maps[0])
    for level in range(2):
        for name, block in sorted(layers[f"level{level}"].items()):
            x = block_of(block, x, 2 if level and name == "block0" else 1, normalised)
        maps.append(x)
    return maps


def block_of(layers, x, stride, normalised):
    """The 3x3 convolution that halves is the one before the last, in blocks of two layers and of three."""
    count = sum(name.startswith("conv") for name in layers)
    out = x
    for number in range(1, count + 1):
        out = plain.convolved(out, layers[f"conv{number}"], stride if number == count - 1 else 1)
        out = normalised(out, layers[f"norm{number}"])
        out = plain.rectified(out) if number < count else out
    if "shortcut" in layers:
        x = normalised(plain.convolved(x, layers["shortcut"], stride), layers["shortcut_norm"])
    return plain.rectified(out + x)


@pytest.mark.parametrize(
    ("options", "train", "normalised"),
    [
        pytest.param(TINY, True, plain.by_batches(2), id="two layers, groups of samples"),
        pytest.param(replace(TINY, bottleneck=True), False, plain.by_statistics, id="bottleneck, running statistics"),
        pytest.param(GROUPED, True, plain.by_channels(2), id="bottleneck, groups of channels"),
    ],
)
def test_maps_are_those_of_the_definition(options, train, normalised):
    with jax.enable_x64(True):
        encoder = replace(options, representation=(5, 3)).encoder(jnp.float64, 2)
        variables = plain.variables_of(encoder, IMAGES)
        features, _ = jax.jit(lambda v: encoder.apply(v, IMAGES, train, mutable=["moments"]))(variables)
        layers = plain.merged(variables)
        expected = encoded(layers, IMAGES, normalised)
        assert [m.shape[1:3] for m in expected] == [(10, 7), (5, 4), (3, 2)]
        for got, wanted in zip(features.maps, expected, strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-10)
        first, second = (layers["representation"][f"layer{n}"] for n in range(2))
        hidden = plain.rectified(expected[-1].mean((1, 2)) @ first["kernel"] + first["bias"])
        np.testing.assert_allclose(features.embedding, hidden @ second["kernel"] + second["bias"], atol=1e-10)


def products(blocks, bottleneck, side, classes):
    """Multiply-adds by the table of the paper: of each layer kernel area x channels in x channels out x pixels out."""
    side = plain.halved_size(side, 7)
    total, width = 7 * 7 * 3 * 64 * side**2, 64
    side = plain.halved_size(side, 3)
    for level, depth in enumerate(blocks):
        inner = 64 << level
        outer = 4 * inner if bottleneck else inner
        for block in range(depth):
            halves = level > 0 and block == 0
            before, side = side, plain.halved_size(side, 3) if halves else side
            if bottleneck:
                total += width * inner * before**2 + 9 * inner * inner * side**2 + inner * outer * side**2
            else:
                total += 9 * width * inner * side**2 + 9 * inner * inner * side**2
            total += width * outer * side**2 if halves or width != outer else 0
            width = outer
    return total + width * classes


@pytest.mark.parametrize(
    ("options", "bare", "classifying", "billions"),
    [(ResNet.resnet18(), 11_176_512, 11_689_512, 1.814), (ResNet.resnet50(), 23_508_032, 25_557_032, 4.089)],
    ids=["resnet18", "resnet50"],
)
def test_parameters_and_multiply_adds_are_the_published_ones(options, bare, classifying, billions):
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    encoder = replace(options, representation=(1000,)).encoder(jnp.float32, 1)
    variables = jax.eval_shape(lambda x: encoder.init(jax.random.key(0), x, False), images)
    assert plain.count(variables["params"]) == classifying
    assert plain.count({n: v for n, v in variables["params"].items() if n != "representation"}) == bare
    jaxpr, features = jax.make_jaxpr(lambda v, x: encoder.apply(v, x, False), return_shape=True)(variables, images)
    total = counts.multiply_adds(jaxpr.jaxpr)
    assert total == products(options.blocks, options.bottleneck, 224, 1000)
    assert round(total / 1e9, 3) == billions
    assert [m.shape[1:3] for m in features.maps] == [(224 >> n, 224 >> n) for n in range(1, 6)]


def test_a_fresh_block_passes_its_input_on_where_its_last_scale_begins_at_zero():
    """Batch normalisation takes a factor away that is above zero; a change of sign shows what a convolution adds."""

    def begin(zero_init):
        encoder = replace(TINY, blocks=(1,), zero_init=zero_init).encoder(jnp.float32, 2)
        images = np.float32(IMAGES)

        @jax.jit
        def maps(sign):
            params = encoder.init(jax.random.key(1), images, True)["params"]
            params["level0"]["block0"]["conv1"]["kernel"] *= sign
            features, _ = encoder.apply({"params": params}, images, True, mutable=["moments"])
            return features.maps

        return maps(1.0), maps(-1.0)

    (stem, plus), (_, minus) = begin(zero_init=True)
    np.testing.assert_array_equal(plus, plain.max_pooled(np.asarray(stem)))
    np.testing.assert_array_equal(plus, minus)
    (_, plus), (_, minus) = begin(zero_init=False)
    assert np.abs(plus - minus).max() > 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"blocks": (2, 0)}, "model.blocks"),
        ({"width": 0}, "model.width"),
        ({"representation": (8, 0)}, "model.representation"),
        ({"decoder_widths": (4, 4)}, "doubles the coarsest map 2 times, .* 8 times smaller"),
    ],
)
def test_impossible_networks_are_refused(change, words):
    config.check(replace(TINY, representation=(8, 1)))
    with pytest.raises(UserError, match=words):
        config.check(replace(TINY, **change))
