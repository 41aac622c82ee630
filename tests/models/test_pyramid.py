"""The decoder against its definition, where the encoder has a map of every size and where it has not."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import plain

from jaxssl.errors import UserError
from jaxssl.models.features import Features
from jaxssl.models.norm import Norm
from jaxssl.models.pyramid import Decoder, check_widths
from jaxssl.numerics import island

NORM = Norm(group=2, channel_groups=2)
GROUPED = replace(NORM, type="group")
WIDTHS = (4, 6, 4)


def features_of(sizes, dtype=np.float64, batch=4):
    """Random maps of these heights and widths, fine to coarse, each with channels of its own."""
    random = np.random.default_rng(2)
    maps = [random.normal(size=(batch, *size, 3 + place)).astype(dtype) for place, size in enumerate(sizes)]
    return Features(tuple(map(jnp.asarray, maps)), jnp.asarray(maps[-1].mean((1, 2))))


HALF = [(12, 8), (6, 4), (3, 2)]
"""As of an encoder whose finest map has half the image's side, as a ResNet's: nothing to join at the image's size."""
LAST = [(3, 2)]
"""As of a ViT: nothing to join at all."""


def decoded(layers, maps, normalised, slope):
    """All maps in numpy, finest first."""

    def block(x, layers):
        for name in ("first", "second"):
            x = plain.convolved(x, layers[name]["conv"]) + layers[name]["bias"]
            x = normalised(x, layers[name].get("norm"))
            x = np.where(x > 0, x, slope * x)
        return x

    *finer, x = (np.asarray(m) for m in maps)
    results = []
    for level in reversed(range(len(WIDTHS))):
        up = layers[f"up{level}"]
        batch, height, width, _ = x.shape
        doubled = np.zeros((batch, 2 * height, 2 * width, WIDTHS[level]))
        for i in range(2):
            for j in range(2):
                doubled[:, i::2, j::2] = x @ up["kernel"][:, i, j] + up["bias"]
        joined = [skip for skip in finer if skip.shape[1:3] == doubled.shape[1:3]]
        x = block(np.concatenate([doubled, *joined], axis=-1), layers[f"level{level}"])
        results.insert(0, x)
    return results


def variables_of(decoder, features):
    return plain.drawn(jax.eval_shape(lambda: decoder.init(jax.random.key(0), features, False)))


@pytest.mark.parametrize(
    ("sizes", "norm", "normalised", "slope"),
    [
        pytest.param(HALF, NORM, plain.by_batches(2), 0.0, id="no map of the image's size, groups of samples"),
        pytest.param(HALF, None, lambda x, _: x, 0.01, id="no map of the image's size, not normalised"),
        pytest.param(LAST, GROUPED, plain.by_channels(2), 0.01, id="one map, groups of channels"),
    ],
)
def test_maps_are_those_of_the_definition(sizes, norm, normalised, slope):
    with jax.enable_x64(True):
        features = features_of(sizes)
        decoder = Decoder(WIDTHS, norm, 2, jnp.float64, slope=slope)
        variables = variables_of(decoder, features)
        run = jax.jit(lambda v, f: decoder.apply(v, f, True, mutable=["moments"]))
        maps, changed = run(variables, features)
        wanted = decoded(plain.merged(variables), features.maps, normalised, slope)
        assert [m.shape for m in maps] == [(4, 24, 16, 4), (4, 12, 8, 6), (4, 6, 4, 4)]
        for a, b in zip(maps, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
        assert ("moments" in changed, "statistics" in variables) == (norm is NORM, norm is NORM)


def loss_of(decoder):
    def loss(params, features):
        maps, _ = decoder.apply({"params": params}, features, True, mutable=["moments"])
        return sum(jnp.square(island(m) - 0.5).mean() for m in maps)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))


def test_recomputed_levels_change_no_number_and_without_batches_every_bias_is_trained():
    with jax.enable_x64(True):
        features = features_of(HALF)
        decoder = Decoder(WIDTHS, GROUPED, 2, jnp.float64)
        params = variables_of(decoder, features)["params"]
        wanted, got = (loss_of(decoder.clone(remat=remat))(params, features) for remat in (0, 2))
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
        biases = [leaf["bias"] for level in ("level0", "level2") for leaf in wanted[1][0][level].values()]
        assert all(np.abs(bias).min() > 1e-6 for bias in biases)


@pytest.mark.parametrize("norm", [NORM, GROUPED, None], ids=["batch", "group", "none"])
def test_the_gradient_is_finite_in_bfloat16_above_a_map_of_one_pixel(norm):
    features = features_of([(2, 2), (1, 1)], jnp.bfloat16, batch=2)
    decoder = Decoder((4, 4), norm, 2, jnp.bfloat16)
    params = variables_of(decoder, features)["params"]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    loss, gradient = loss_of(decoder)(params, features)
    assert loss.dtype == jnp.float32
    assert all(np.isfinite(np.float32(leaf)).all() for leaf in jax.tree.leaves(gradient))
    assert np.abs(gradient[0]["up1"]["kernel"]).max() > 0


@pytest.mark.parametrize("sizes", [[(13, 8), (7, 4), (4, 2)], [(24, 16), (6, 4), (3, 3)], [(3, 2), (3, 2)]])
def test_maps_that_do_not_double_into_each_other_are_refused(sizes):
    with pytest.raises(UserError, match=r"image sides divisible by 8.*never gives"):
        jax.eval_shape(lambda: Decoder(WIDTHS, NORM, 2, jnp.float32).init(jax.random.key(0), features_of(sizes), False))


@pytest.mark.parametrize(
    ("widths", "words"), [((4, 4), "2 times"), ((), "0 times"), ((4,) * 4, "4 times"), ((4, 0, 4), "at least 1")]
)
def test_a_wrong_number_of_widths_is_refused(widths, words):
    check_widths((4, 4, 4), 8)
    with pytest.raises(UserError, match=f"model.decoder_widths .*{words}"):
        check_widths(widths, 8)
