"""Floating point islands: where precision matters, maths is done in at least float32."""

import jax
import jax.numpy as jnp


def island(x: jax.Array) -> jax.Array:
    """Cast to at least float32; float64 stays float64 so that exactness can be tested in it."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
