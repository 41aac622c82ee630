"""Dropout by sample: independent of the batch, different by layer, right on average."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxssl.models.stochastic import Dropout


class TwoLayers(nn.Module):
    @nn.compact
    def __call__(self, x, keys):
        return Dropout(0.3, name="a")(x, keys), Dropout(0.3, name="b")(x, keys)


def keys(n):
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(3), i))(jnp.arange(n))


def test_a_sample_alone_equals_the_sample_in_a_batch():
    x = jax.random.normal(jax.random.key(0), (64, 7, 5))
    batch = Dropout(0.4).apply({}, x, keys(64))
    alone = Dropout(0.4).apply({}, x[5:6], keys(64)[5:6])
    np.testing.assert_array_equal(alone[0], batch[5])
    assert not np.array_equal(batch[5] == 0, batch[6] == 0)


def test_layers_draw_differently_but_always_the_same():
    x = jnp.ones((4, 200))
    first, second = TwoLayers().apply({}, x, keys(4))
    again, _ = jax.jit(lambda x, k: TwoLayers().apply({}, x, k))(x, keys(4))
    np.testing.assert_array_equal(first, again)
    assert 0.3 < np.mean((first == 0) != (second == 0)) < 0.54  # 2 p (1 - p) = 0.42 when independent


def test_share_and_expectation():
    y = np.asarray(Dropout(0.3).apply({}, jnp.ones((16, 4000)), keys(16)))
    assert abs((y == 0).mean() - 0.3) < 4 * np.sqrt(0.21 / y.size)
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-6)


def test_without_keys_nothing_is_dropped():
    x = jax.random.normal(jax.random.key(0), (3, 4))
    np.testing.assert_array_equal(Dropout(0.9).apply({}, x, None), x)
