"""The decoder on a ViT: what it is given, against sums written out, and that how it is run changes no number."""

import functools
import math
from dataclasses import replace
from typing import Any

import counts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.small_vit import filled, keys, stacked

from jaxssl.errors import UserError
from jaxssl.models import pyramid
from jaxssl.models.features import Features
from jaxssl.models.norm import Norm
from jaxssl.models.vit import ViT

BARE = ViT(patch=8, width=16, depth=3, heads=2, registers=1, drop_path=0.3)
WITH = replace(BARE, decoder_widths=(12, 16, 20))
LEAST = ViT(patch=4, width=16, depth=2, heads=2, registers=1, drop_path=0.3, decoder_widths=(8, 12))
"""For what has to be compiled more than once."""


def images(options, n=2, dtype=jnp.float32):
    """Two by three patches."""
    height, width = options.patch_size
    return jnp.asarray(np.random.default_rng(5).normal(size=(n, 2 * height, 3 * width, 1)), dtype)


@functools.cache
def built(options, dtype=jnp.float32):
    """Encoder and decoder, and their params by part, drawn by numpy."""
    encoder, decoder = options.encoder(dtype, 1), options.decoder(dtype, 1)
    x = jax.eval_shape(lambda: images(options, 1, jnp.promote_types(dtype, jnp.float32)))
    features, of_encoder = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, False), x)
    of_decoder = jax.eval_shape(lambda f: decoder.init(jax.random.key(0), f, False), features)
    assert set(of_decoder) == {"params"}  # no running statistics
    params = {"encoder": of_encoder["params"], "decoder": of_decoder["params"]}
    return encoder, decoder, jax.tree_util.tree_map_with_path(filled, params)


@functools.partial(jax.jit, static_argnames=("options", "dtype"))
def run(options, params, x, sample_keys=None, dtype=jnp.float32):
    encoder, decoder, _ = built(options, dtype)
    features = encoder.apply({"params": params["encoder"]}, x, sample_keys is not None, sample_keys)
    return features, decoder.apply({"params": params["decoder"]}, features, sample_keys is not None)


def of_layer(x, by):
    """Layer normalisation as its equation says."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * by["scale"] + by["bias"]


def test_an_encoder_before_a_decoder_is_the_plain_one_and_shows_what_it_passed_through():
    assert WITH.joined == (1, 2)
    assert replace(ViT.small(), decoder_widths=(32, 64, 128, 256)).joined == (3, 6, 9)
    encoder, _, params = built(WITH)
    x, variables = images(WITH), {"params": params["encoder"]}
    features: Any = jax.jit(lambda v: encoder.apply(v, x, False))(variables)
    plain: Any = jax.jit(lambda v: BARE.encoder(jnp.float32, 1).apply(v, x, False))(variables)
    assert len(plain.maps) == 1
    np.testing.assert_array_equal(features.maps[-1], plain.maps[0])
    np.testing.assert_array_equal(features.embedding, plain.embedding)
    np.testing.assert_array_equal(features.maps[0], x)
    for depth, between in zip(WITH.joined, features.maps[1:-1], strict=True):
        shallow = replace(BARE, depth=depth).encoder(jnp.float32, 1)
        last: Any = jax.jit(shallow.apply, static_argnums=2)(variables, x, False).maps[0]
        np.testing.assert_allclose(of_layer(np.asarray(between), params["encoder"]["norm"]), last, atol=2e-5)


def test_tokens_on_the_way_join_where_their_depth_belongs():
    """The tokens of level l are normalised, and spread over 2 ** (3 - l) pixels a side; then all is a pyramid."""
    _, decoder, params = built(WITH)
    p = jax.device_get(params["decoder"])
    random = np.random.default_rng(0).normal
    shapes = [(2, 16, 24, 1), (2, 2, 3, 16), (2, 2, 3, 16), (2, 2, 3, 16)]
    image, first, second, last = maps = [jnp.asarray(random(size=shape), jnp.float32) for shape in shapes]
    joined = [image]
    for level, tokens in ((1, first), (2, second)):
        kernel, side = p[f"expand{level}"]["kernel"], 2 ** (3 - level)
        assert kernel.shape == (16, side, side, WITH.decoder_widths[level])
        larger = np.zeros((2, 2 * side, 3 * side, kernel.shape[-1]))
        for i in range(side):
            for j in range(side):
                at = (
                    of_layer(np.asarray(tokens), p[f"norm{level}"]) @ kernel[:, i, j]
                    + p[f"expand{level}"]["bias"][i, j]
                )
                larger[:, i::side, j::side] = at
        joined.append(jnp.asarray(larger, jnp.float32))
    rise = pyramid.Decoder(WITH.decoder_widths, Norm(type="group", channel_groups=8), 1, jnp.float32)
    wanted: Any = apply(rise, p["pyramid"], (*joined, last))
    got: Any = apply(decoder, p, tuple(maps))
    assert [leaf.shape for leaf in got] == [(2, 16, 24, 12), (2, 8, 12, 16), (2, 4, 6, 20)]
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


@functools.partial(jax.jit, static_argnums=0)
def apply(decoder, params, maps):
    return decoder.apply({"params": params}, Features(maps, jnp.zeros((2, 16))), False)


def loss(options, params, x):
    features, maps = run(options, params, x, keys(len(x)), jnp.float64)
    return sum(jnp.sin(2 * leaf).mean() for leaf in maps) + jnp.sin(features.embedding).mean()


def test_remat_and_scan_change_neither_output_nor_gradient():
    with jax.enable_x64(True):
        x, other = images(LEAST, dtype=jnp.float64), replace(LEAST, scan=True, remat=True)
        wanted, got = (
            jax.jit(jax.value_and_grad(functools.partial(loss, options)))(built(options, jnp.float64)[2], x)
            for options in (LEAST, other)
        )
        wanted = wanted[0], {**wanted[1], "encoder": stacked(wanted[1]["encoder"])}
        assert min(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted[1])) > 0

        def compare(path, a, b):
            name = jax.tree_util.keystr(path)
            np.testing.assert_allclose(a, b, atol=1e-10 * np.abs(b).max(), rtol=0, err_msg=name)

        jax.tree_util.tree_map_with_path(compare, got, wanted)


def test_a_sample_alone_equals_itself_in_a_batch_and_bfloat16_is_near():
    params, x = built(LEAST)[2], images(LEAST)
    _, whole = run(LEAST, params, x, keys(2))
    _, alone = run(LEAST, params, x[1:], keys(2)[1:])
    for a, b in zip(alone, whole, strict=True):
        np.testing.assert_allclose(a[0], b[1], atol=1e-5 * np.abs(b).max())
    _, low = run(LEAST, params, x, keys(2), dtype=jnp.bfloat16)
    assert low[0].dtype == jnp.bfloat16
    # Roundings of 2**-9 through two blocks and four convolutions, each with a normalisation or two.
    assert np.abs(np.float32(low[0]) - whole[0]).mean() < 0.03 * np.abs(whole[0]).mean()


def test_the_smallest_details_reach_the_finest_map():
    """A pixel changes the map about itself, by the image; what it changes elsewhere comes by tokens and the norms."""
    params = built(WITH)[2]
    blind = jax.tree.map(jnp.zeros_like, params["encoder"]["patch"])
    params = {**params, "encoder": {**params["encoder"], "patch": blind}}
    x = images(WITH, 1)
    finest = [np.asarray(run(WITH, params, given)[1][0])[0] for given in (x, x.at[0, 5, 17].add(3.0))]
    change = np.abs(finest[1] - finest[0]).max(-1)
    around = change[3:8, 15:20]
    assert around.mean() > 10 * np.median(change)


def test_parameters_and_multiply_adds_beside_the_encoder():
    options = replace(ViT.small(), decoder_widths=(32, 64, 128, 256))
    image = jax.ShapeDtypeStruct((1, 224, 224, 1), jnp.float32)
    encoder, decoder = options.encoder(jnp.float32, 1), options.decoder(jnp.float32, 1)
    features, _ = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, False), image)
    variables = jax.eval_shape(lambda f: decoder.init(jax.random.key(0), f, False), features)
    parameters = work = 0
    below = 384
    for level, width in reversed(list(enumerate(options.decoder_widths))):
        pixels, skip = (224 >> level) ** 2, width if level else 1
        up, first, second = 4 * below * width, 9 * (width + skip) * width, 9 * width * width
        # The bias of each; group normalisation has as many again twice.
        parameters += up + width + first + second + 6 * width
        # Each doubled pixel sees one kernel of the four.
        work += pixels * (up // 4 + first + second)
        if level:
            side = 2 ** (4 - level)
            expand = 384 * side**2 * width
            parameters += expand + side**2 * width + 2 * 384
            work += 14 * 14 * expand
        below = width
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables)) == parameters == 5_671_744
    jaxpr = jax.make_jaxpr(lambda v, f: decoder.apply(v, f, False))(variables, features).jaxpr
    assert counts.multiply_adds(jaxpr) == work == pytest.approx(6.03e9, rel=0.01)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch": 14}, "not for 14x14: choose a model.patch of 2, 4"),
        ({"patch": (8, 4)}, "not for 8x4"),
        (
            {"patch": 16},
            r"model.decoder_widths \(12, 16, 20\) doubles the coarsest map 3 times, but .* 16 times smaller",
        ),
        ({"decoder_widths": (4, 0, 8)}, "model.decoder_widths .* at least 1"),
    ],
    ids=str,
)
def test_decoders_that_do_not_end_at_the_image_are_refused(change, words):
    WITH.check()
    with pytest.raises(UserError, match=words):
        replace(WITH, **change).check()
