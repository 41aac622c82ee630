"""Random keys from names, the step and a sample's place in the global batch: nothing to store, nothing to split."""

import zlib

import jax


def named_key(seed: int | jax.Array, name: str) -> jax.Array:
    """A key for one purpose; the same on every process and every version of Python."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))


def sample_keys(seed: int | jax.Array, name: str, step: jax.Array, place: jax.Array) -> jax.Array:
    """Keys [B], one a sample: they depend on its place in the global batch, never on the device or micro-batch."""
    of_step = jax.random.fold_in(named_key(seed, name), step)
    return jax.vmap(lambda p: jax.random.fold_in(of_step, p))(place)
