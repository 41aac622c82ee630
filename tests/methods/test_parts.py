"""How keys reach an encoder that draws at random."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxssl.methods.network import Network
from jaxssl.methods.parts import keys_of_views


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
    network = Network({"encoder": Noisy(), "decoder": Same(), "head": Same()}, on="features")
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
