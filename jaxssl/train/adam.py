"""Adam's direction, with a count of steps for each array."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxssl.methods.base import Tree


class AdamState(NamedTuple):
    """Steps taken, mean gradient and mean squared gradient: each a tree like the parameters."""

    count: Tree
    mu: Tree
    nu: Tree


def scale_by_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> optax.GradientTransformation:
    """As optax's, which has one count for all arrays.

    An array that is frozen at first begins with moments of 0 when it thaws. The correction of their bias must begin
    with them: by the count of all it would long be over, and the array's first steps would be 3 to 6 times too long.
    A count that is a tree like the parameters is the array's own, and stays with it while it is frozen.
    """

    def init(params: Tree) -> AdamState:
        count = jax.tree.map(lambda _: jnp.zeros((), jnp.int32), params)
        return AdamState(count, optax.tree.zeros_like(params), optax.tree.zeros_like(params))

    def direction(count: Int[Array, ""], mu: Float[Array, "..."], nu: Float[Array, "..."]) -> Float[Array, "..."]:
        return _unbiased(mu, b1, count) / (jnp.sqrt(_unbiased(nu, b2, count)) + eps)

    def update(updates: Tree, state: Tree, params: Tree = None) -> tuple[Tree, AdamState]:
        del params
        count = jax.tree.map(optax.safe_increment, state.count)
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, b2, 2)
        return jax.tree.map(direction, count, mu, nu), AdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)


def _unbiased(moment: Float[Array, "..."], decay: float, count: Int[Array, ""]) -> Float[Array, "..."]:
    """What the mean is of the gradients that it has seen: it began at 0."""
    return moment / (1 - decay**count).astype(moment.dtype)
