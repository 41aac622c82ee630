"""The densely connected network: published counts, every layer against its definition, and what recomputing saves."""

from dataclasses import replace

import counts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import plain

from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm

TINY = DenseNet(layers=(2, 1), growth=2, width=4, norm=Norm(group=2, channel_groups=2), decoder_widths=(2, 4, 4))
GROUPED = replace(TINY, norm=replace(TINY.norm, type="group"))
IMAGES = np.random.default_rng(6).normal(size=(4, 19, 22, 2))
"""The map that the first level leaves has 5 x 6 pixels, of which the transition makes 2 x 3."""


def encoded(layers, images, normalised):
    """Maps in numpy: stem, both levels, the second after the last normalisation."""

    def active(x, layer):
        return plain.rectified(normalised(x, layer))

    stem = active(plain.convolved(images, layers["stem"], 2), layers["stem_norm"])
    x, levels = plain.max_pooled(stem), []
    for level in (layers["level0"], layers["level1"]):
        for layer in (level[name] for name in ("layer0", "layer1") if name in level):
            new = plain.convolved(active(x, layer["norm1"]), layer["conv1"])
            x = np.concatenate([x, plain.convolved(active(new, layer["norm2"]), layer["conv2"])], axis=-1)
        levels.append(x)
        if "transition" in level:
            x = plain.mean_pooled(plain.convolved(active(x, level["transition_norm"]), level["transition"]))
    return [stem, levels[0], active(levels[1], layers["norm"])]


@pytest.mark.parametrize(
    ("options", "train", "normalised"),
    [
        pytest.param(TINY, True, plain.by_batches(2), id="groups of samples"),
        pytest.param(TINY, False, plain.by_statistics, id="running statistics"),
        pytest.param(GROUPED, True, plain.by_channels(2), id="groups of channels"),
    ],
)
def test_maps_are_those_of_the_definition(options, train, normalised):
    with jax.enable_x64(True):
        encoder = replace(options, representation=(3,)).encoder(jnp.float64, 2)
        variables = plain.variables_of(encoder, IMAGES)
        features, _ = jax.jit(lambda v: encoder.apply(v, IMAGES, train, mutable=["moments"]))(variables)
        layers = plain.merged(variables)
        expected = encoded(layers, IMAGES, normalised)
        assert [m.shape[1:] for m in expected] == [(10, 11, 4), (5, 6, 8), (2, 3, 6)]
        for got, wanted in zip(features.maps, expected, strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-10)
        last = layers["representation"]["layer0"]
        np.testing.assert_allclose(
            features.embedding, expected[-1].mean((1, 2)) @ last["kernel"] + last["bias"], atol=1e-10
        )


def test_a_level_gives_what_entered_it_first_and_its_newest_channels_last():
    """Each layer begins with a normalisation, so a layer whose last kernel is zero adds zeros, and these stay there."""
    encoder = TINY.encoder(jnp.float32, 2)
    variables = plain.variables_of(encoder, np.float32(IMAGES))
    kernel = variables["params"]["level0"]["layer1"]["conv2"]["kernel"]
    variables["params"]["level0"]["layer1"]["conv2"]["kernel"] = jnp.zeros_like(kernel)
    stem, level, _ = jax.jit(encoder.apply, static_argnums=2)(variables, np.float32(IMAGES), False).maps
    np.testing.assert_array_equal(level[..., :4], plain.max_pooled(np.asarray(stem)))
    assert np.abs(level[..., 4:6]).max() > 0.1
    np.testing.assert_array_equal(level[..., 6:], 0)


def products(side, classes):
    """Multiply-adds by the table of the paper: of each layer kernel area x channels in x channels out x pixels out."""
    side = plain.halved_size(side, 7)
    total, width = 7 * 7 * 3 * 64 * side**2, 64
    side = plain.halved_size(side, 3)
    for level, depth in enumerate((6, 12, 24, 16)):
        for _ in range(depth):
            total += (width * 128 + 9 * 128 * 32) * side**2
            width += 32
        if level < 3:
            total += width * (width // 2) * side**2
            width, side = width // 2, side // 2
    return total + width * classes


def test_parameters_and_multiply_adds_are_the_published_ones():
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    encoder = replace(DenseNet.densenet121(), representation=(1000,)).encoder(jnp.float32, 1)
    variables = jax.eval_shape(lambda x: encoder.init(jax.random.key(0), x, False), images)
    assert plain.count(variables["params"]) == 7_978_856
    assert plain.count({n: v for n, v in variables["params"].items() if n != "representation"}) == 6_953_856
    jaxpr, features = jax.make_jaxpr(lambda v, x: encoder.apply(v, x, False), return_shape=True)(variables, images)
    assert counts.multiply_adds(jaxpr.jaxpr) == products(224, 1000)
    assert round(counts.multiply_adds(jaxpr.jaxpr) / 1e9, 2) == 2.83
    assert [m.shape[1:] for m in features.maps] == [
        (112, 112, 64),
        (56, 56, 256),
        (28, 28, 512),
        (14, 14, 1024),
        (7, 7, 1024),
    ]


def loss_of(options, dtype=jnp.float64):
    encoder = options.encoder(dtype, 2)

    def loss(params, images):
        features, moments = encoder.apply({"params": params}, images, True, mutable=["moments"])
        return sum(jnp.square(m - 0.5).mean() for m in features.maps) + features.embedding.mean(), moments

    return loss


def test_recomputed_layers_change_neither_loss_nor_moments_nor_gradient():
    with jax.enable_x64(True):
        params = plain.variables_of(TINY.encoder(jnp.float64, 2), IMAGES)["params"]
        kept, recomputed = (
            jax.jit(jax.value_and_grad(loss_of(replace(TINY, remat=remat)), has_aux=True))(params, IMAGES)
            for remat in (False, True)
        )
        for a, b in zip(jax.tree.leaves(recomputed), jax.tree.leaves(kept), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def kept(depth, remat):
    """Bytes that wait for the backward pass in one level of so many layers, parameters left out."""
    options = replace(TINY, layers=(depth,), growth=8, width=8, decoder_widths=(2, 2), remat=remat)
    images = jnp.ones((2, 32, 32, 1))
    params = jax.eval_shape(lambda: options.encoder(jnp.float32, 2).init(jax.random.key(0), images, False))["params"]
    held = counts.kept_bytes(lambda params: loss_of(options, jnp.float32)(params, images)[0], params)
    return held - 4 * plain.count(params)


def test_recomputed_layers_keep_what_grows_with_their_number_and_not_with_its_square():
    few, some, many = (kept(depth, True) for depth in (2, 4, 6))
    assert many - some == some - few > 0
    few, some, more = (kept(depth, False) for depth in (2, 4, 6))
    assert more - some > 1.2 * (some - few)
    assert many < 0.25 * more


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": ()}, "model.layers"),
        ({"growth": 0}, "model.growth"),
        ({"width": 0}, "model.width"),
        ({"representation": (8, 0)}, "model.representation"),
        ({"decoder_widths": (4, 4)}, "doubles the coarsest map 2 times, .* 8 times smaller"),
    ],
)
def test_impossible_networks_are_refused(change, words):
    config.check(replace(TINY, representation=(8, 1)))
    with pytest.raises(UserError, match=words):
        config.check(replace(TINY, **change))


def test_images_of_which_nothing_would_be_left_are_refused_and_no_others():
    smallest, images = DenseNet.densenet121(), jnp.ones((1, 29, 31, 1))
    encoder = smallest.encoder(jnp.float32, 1)
    features, _ = jax.eval_shape(lambda: encoder.init_with_output(jax.random.key(0), images, False))
    assert features.maps[-1].shape == (1, 1, 1, 1024)
    smallest.check_size((227, 29))
    with pytest.raises(UserError, match="at least 29, not 28x227"):
        smallest.check_size((28, 227))
