"""VGG: published counts, every layer against its definition, and what is refused."""

import itertools
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
from jaxssl.models.vgg import VGG, averaged
from jaxssl.numerics import island

TINY = VGG(depths=(1, 2), widths=(4, 6), decoder_widths=(2, 4))
SAMPLES, CHANNELS = (replace(TINY, norm=Norm(type, group=2, channel_groups=2)) for type in ("batch", "group"))
IMAGES = np.random.default_rng(5).normal(size=(4, 11, 14, 2))
"""Halving leaves out an odd last row, and then an odd last column."""
WHOLE = {"grid": 7, "representation": (4096, 4096, 1000)}


@pytest.mark.parametrize(
    ("options", "channels", "parameters"),
    [
        (VGG.vgg16(), 3, 14_714_688),
        (VGG.vgg16(), 1, 14_713_536),
        (replace(VGG.vgg16(), **WHOLE), 3, 138_357_544),
        (replace(VGG.vgg16_bn(), **WHOLE), 3, 138_365_992),
    ],
)
def test_parameters_are_as_many_as_published(options, channels, parameters):
    config.check(options)
    encoder = options.encoder(jnp.float32, 1)
    images = jax.ShapeDtypeStruct((1, 224, 224, channels), jnp.float32)
    variables = jax.eval_shape(lambda: encoder.init(jax.random.key(0), jnp.zeros(images.shape), False))
    assert plain.count(variables["params"]) == parameters

    widths = [width for depth, width in zip(options.depths, options.widths, strict=True) for _ in range(depth)]
    formula = sum(9 * c * d + d for c, d in zip([channels, *widths], widths, strict=False))
    formula += sum(2 * width for width in widths) if options.norm else 0
    linear = [512 * options.grid**2, *options.representation]
    formula += sum(c * d + d for c, d in itertools.pairwise(linear))
    assert parameters == formula


def test_the_whole_network_has_the_published_multiply_adds():
    encoder = replace(VGG.vgg16(), **WHOLE).encoder(jnp.float32, 1)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(lambda: encoder.init(jax.random.key(0), jnp.zeros(images.shape), False))
    jaxpr = jax.make_jaxpr(lambda v, x: encoder.apply(v, x, False))(variables, images)
    # Averaging to 7 x 7 places is done by two matrix products.
    assert counts.multiply_adds(jaxpr.jaxpr) == 15_470_264_320 + 2 * 7**3 * 512


def encoded(layers, images, normalised):
    """Maps in numpy: one a level, and the last one pooled."""
    maps, x = [], images
    for level, depth in enumerate(TINY.depths):
        own = layers[f"level{level}"]
        for index in range(depth):
            layer = own[f"conv{index}"]
            x = plain.convolved(x, layer["conv"]) + layer["bias"]
            x = plain.rectified(normalised(x, layer.get("norm")))
        maps.append(x)
        x = np.maximum(x[:, :-1:2], x[:, 1::2])
        x = np.maximum(x[:, :, :-1:2], x[:, :, 1::2])
    return [*maps, x]


@pytest.mark.parametrize(
    ("options", "train", "normalised"),
    [
        pytest.param(TINY, True, lambda x, _: x, id="not normalised"),
        pytest.param(SAMPLES, False, plain.by_statistics, id="running statistics"),
        pytest.param(SAMPLES, True, plain.by_batches(2), id="groups of samples"),
        pytest.param(CHANNELS, True, plain.by_channels(2), id="groups of channels"),
    ],
)
def test_maps_and_embedding_are_those_of_the_definition(options, train, normalised):
    with jax.enable_x64(True):
        encoder = replace(options, grid=2, representation=(5, 3)).encoder(jnp.float64, 2)
        variables = plain.variables_of(encoder, IMAGES)
        features, changed = jax.jit(lambda v: encoder.apply(v, IMAGES, train, mutable=["moments"]))(variables)
        layers = plain.merged(variables)
        wanted = encoded(layers, IMAGES, normalised)
        assert [m.shape[1:] for m in features.maps] == [(11, 14, 4), (5, 7, 6), (2, 3, 6)]
        for a, b in zip(features.maps, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
        # Of the columns 0, 1, 2 each half takes the middle one too.
        places = np.stack([wanted[-1][:, :, :2].mean(2), wanted[-1][:, :, 1:].mean(2)], axis=2).reshape(4, -1)
        first, second = (layers["representation"][f"layer{i}"] for i in range(2))
        hidden = plain.rectified(places @ first["kernel"] + first["bias"])
        np.testing.assert_allclose(features.embedding, hidden @ second["kernel"] + second["bias"], rtol=1e-9)
        assert ("moments" in changed) == (train and options is SAMPLES)
        assert ("statistics" in variables) == (options is SAMPLES)


@pytest.mark.parametrize(("size", "grid"), [((7, 7), 7), ((10, 16), 7), ((3, 5), 7), ((9, 4), 1), ((15, 8), 4)])
def test_places_are_averaged_as_torch_averages_them(size, grid):
    x = np.random.default_rng(1).normal(3, 1, (2, *size, 3)).astype(np.float32)

    def bounds(side, place):
        return slice(int(np.floor(place * side / grid)), int(np.ceil((place + 1) * side / grid)))

    wanted = [
        [x[:, bounds(size[0], i), bounds(size[1], j)].mean((1, 2), np.float64) for j in range(grid)]
        for i in range(grid)
    ]
    found = averaged(jnp.asarray(x), grid)
    np.testing.assert_allclose(found, np.moveaxis(np.array(wanted), 2, 0), rtol=1e-6)
    assert averaged(jnp.asarray(x, jnp.bfloat16), grid).dtype == jnp.float32


@pytest.mark.parametrize("options", [TINY, SAMPLES, CHANNELS], ids=["none", "batch", "group"])
def test_the_gradient_is_finite_in_bfloat16_on_the_smallest_images(options):
    images = np.random.default_rng(7).normal(size=(4, 4, 4, 1)).astype(np.float32)
    encoder = options.encoder(jnp.bfloat16, 2)
    params = plain.variables_of(encoder, images)["params"]

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        features, _ = encoder.apply({"params": params}, images, True, mutable=["moments"])
        return sum(jnp.square(island(m) - 0.5).mean() for m in features.maps) + features.embedding.mean()

    value, gradient = loss(params)
    assert value.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 and np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert np.abs(gradient["level0"]["conv0"]["conv"]["kernel"]).max() > 0
    biases = np.abs(gradient["level1"]["conv1"]["bias"])
    assert biases.max() == 0 if options is SAMPLES else biases.max() > 0, "a mean over samples takes biases away"


def test_activations_keep_their_size_through_the_original_without_norm():
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype(np.float32)
    encoder = VGG(widths=(16, 16, 32, 32, 32)).encoder(jnp.float32, 1)
    keys = jax.random.split(jax.random.key(1), 16)  # one draw of so few channels says little
    features, _ = jax.jit(jax.vmap(lambda key: encoder.init_with_output(key, images, False)))(keys)
    squares = [float(jnp.square(m).mean()) for m in features.maps]
    assert all(0.2 < s < 10 for s in squares), squares


def test_its_decoder_joins_every_level_and_ends_at_the_size_of_the_image():
    def shapes():
        features, _ = SAMPLES.encoder(jnp.float32, 2).init_with_output(jax.random.key(0), IMAGES[:, :8, :12], False)
        return SAMPLES.decoder(jnp.float32, 2).init_with_output(jax.random.key(0), features, False)

    maps, variables = jax.eval_shape(shapes)
    assert [m.shape[1:] for m in maps] == [(8, 12, 2), (4, 6, 4)]
    kernels = {level: variables["params"][level]["first"]["conv"]["kernel"].shape for level in ("level0", "level1")}
    assert kernels == {"level0": (3, 3, 2 + 4, 2), "level1": (3, 3, 4 + 6, 4)}


@pytest.mark.parametrize(("options", "group"), [(TINY, 1), (SAMPLES, 2), (CHANNELS, 1)])
def test_samples_normalised_together_are_those_of_a_batch_norm(options, group):
    config.check(options)
    assert options.group == group
    assert config.from_dict(config.to_dict(options), "here") == options


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depths": (1,)}, "one number a level"),
        ({"depths": (), "widths": ()}, "one number a level"),
        ({"depths": (0, 2)}, "model.depths"),
        ({"widths": (4, 0)}, "model.widths"),
        ({"representation": (4, 0)}, "model.representation"),
        ({"grid": 0}, "model.grid"),
        ({"decoder_widths": (4,)}, "model.decoder_widths"),
    ],
)
def test_impossible_networks_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        replace(TINY, **change).check()


def test_images_of_which_nothing_would_be_left_are_refused():
    VGG().check_size((32, 45))
    with pytest.raises(UserError, match="at least 32 pixels, not 32x31"):
        VGG().check_size((32, 31))
