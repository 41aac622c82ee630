"""Layers that draw at random take one key a sample, so that a sample never depends on the batch it comes in."""

import zlib

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key


class Dropout(nn.Module):
    """Set elements to zero with probability `rate` and divide the others by 1 - rate.

    The draw is a function of the sample's key and this module's path in the network, and of nothing else.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."], keys: Key[Array, " batch"] | None) -> Float[Array, "batch ..."]:
        """Drop elements of x with one key a row; without keys (evaluation) x is returned as it is."""
        if keys is None or self.rate == 0.0:
            return x
        path = zlib.crc32("/".join(self.path).encode())

        def keep(key: jax.Array) -> jax.Array:
            return jax.random.bernoulli(jax.random.fold_in(key, path), 1.0 - self.rate, x.shape[1:])

        return jnp.where(jax.vmap(keep)(keys), x / (1.0 - self.rate), jnp.zeros_like(x))


def drop_path(
    x: Float[Array, "batch ..."], keys: Key[Array, " batch"], rate: Float[Array, ""]
) -> Float[Array, "batch ..."]:
    """Set all of a sample to zero with probability `rate`, and divide the others by 1 - rate (stochastic depth).

    Blocks in a loop share one path in the network, so the caller folds a block's number into its keys.
    """
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1.0 - rate))(keys)
    factor = jnp.where(kept, 1.0 / (1.0 - rate), 0.0).astype(x.dtype)
    return x * factor.reshape(-1, *[1] * (x.ndim - 1))
