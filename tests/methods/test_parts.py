"""How keys reach an encoder that draws at random, and how the parts of one network are put into another."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxssl.errors import UserError
from jaxssl.methods.network import Network
from jaxssl.methods.parts import adopt, fit, keys_of_views
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.vit import ViT


class Noisy(nn.Module):
    """An encoder that gives a draw of each sample's key, and zero without keys."""

    @nn.compact
    def __call__(self, images, train, keys=None):
        return images[:, 0, 0, 0] * 0 if keys is None else jax.vmap(jax.random.normal)(keys)


class Same(nn.Module):
    """A part that draws nothing, and takes no keys."""

    @nn.compact
    def __call__(self, x, train):
        return x


def test_the_encoder_alone_is_given_keys_and_a_frozen_one_is_not():
    network = Network({"encoder": Noisy(), "neck": Same(), "head": Same()}, on="features")
    keys, images = jax.random.split(jax.random.key(0), 3), jnp.ones((3, 2, 2, 1))
    params, statistics = network.start(keys[0], images)
    drawn, _, features = network.train(params, statistics, images, keys)
    np.testing.assert_array_equal(drawn, jax.vmap(jax.random.normal)(keys))
    np.testing.assert_array_equal(features, drawn)
    frozen, _, _ = network.train(params, statistics, images, keys, frozen=("encoder",))
    np.testing.assert_array_equal(frozen, np.zeros(3))


def test_every_view_has_a_key_of_its_own_whatever_the_batch():
    keys = jax.random.split(jax.random.key(0), 4)
    whole, alone = (jax.random.key_data(keys_of_views(some, 3)) for some in (keys, keys[2:3]))
    assert len({tuple(row) for row in np.asarray(whole)}) == 12
    np.testing.assert_array_equal(whole[6:9], alone)


VIT = ViT(patch=4, width=8, depth=2, heads=2)


def of_encoder(options, seed, **masks):
    """Params and carry of a method that is an encoder and its teacher."""
    module = options.encoder(jnp.float32, rows=1)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), False, **masks))["params"]
    draw = np.random.default_rng(seed).normal
    params = jax.tree.map(lambda leaf: jnp.asarray(draw(size=leaf.shape), leaf.dtype), shapes)
    statistics = {"encoder": {}}
    held = {"params": {"encoder": params}, "statistics": statistics}
    return {"encoder": params}, {"statistics": statistics, "teacher": held}


def test_what_is_adopted_is_made_to_fit_student_and_teacher():
    given, _ = of_encoder(VIT, 0)
    params, carry = of_encoder(replace(VIT, scan=True), 1, hidden=jnp.zeros((1, 4)))
    variables = {"encoder": {"params": given["encoder"], "statistics": {}}}
    _, adapted = fit(params, carry, variables)
    assert adapted == [
        "encoder/block0 to block1: stacked into blocks.", "encoder/mask_token: fresh, as none came."
    ]  # fmt: skip
    new, carry = adopt(params, carry, variables)
    kernels = [given["encoder"][block]["mlp"]["in"]["kernel"] for block in ("block0", "block1")]
    for own in (new, carry["teacher"]["params"]):
        np.testing.assert_array_equal(own["encoder"]["blocks"]["mlp"]["in"]["kernel"], kernels)
        np.testing.assert_array_equal(own["encoder"]["mask_token"], params["encoder"]["mask_token"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pool": "mean"}, r"positions/token is absent there and \(8,\) here \(model.positions and model.pool\)"),
        ({"pool": "mean"}, r"params/tokens is absent there and \(1, 8\) here \(model.pool and model.registers\)"),
        ({"layer_scale": 0.1}, r"attention_scale is \(8,\) there and absent here \(model.layer_scale\).*\(and 1 more"),
        ({"depth": 3}, r"params/block2/attention/out/bias is \(8,\) there and absent here"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_with_the_option_that_decides(change, words):
    given, _ = of_encoder(replace(VIT, **change), 0)
    with pytest.raises(UserError, match=words):
        adopt(*of_encoder(VIT, 1), {"encoder": {"params": given["encoder"], "statistics": {}}})


def test_sides_that_doubling_does_not_lead_back_to_are_refused():
    model = ResNet(blocks=(1,), width=4, decoder_widths=(4, 4), norm=Norm(group=1))
    modules = {"encoder": model.encoder(jnp.float32, rows=1), "decoder": model.decoder(jnp.float32, rows=1)}
    network = Network(modules, on="features")
    with pytest.raises(UserError, match="maps of 32x8 pixels for images of 31x8"):
        jax.eval_shape(network.start, jax.random.key(0), jnp.zeros((1, 31, 8, 1)))
