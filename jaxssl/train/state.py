"""Everything that training carries from step to step."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxssl.methods.base import Method, Tree
from jaxssl.train.mesh import replicated


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """step: steps taken. carry: the method's own. moments: the optimiser's. skipped: steps left out as not finite,
    in all and in a row."""

    step: jax.Array
    params: Any
    carry: Any
    moments: Any
    skipped: jax.Array
    skipped_in_a_row: jax.Array


def initial_state(method: Method, optimiser: optax.GradientTransformation, key: jax.Array, views: Tree) -> State:
    """The state before the first step; pure, so that it can be evaluated abstractly or under jit."""
    params, carry = method.init(key, views)
    zero = jnp.zeros((), jnp.int32)
    return State(zero, params, carry, optimiser.init(params), zero, zero)


def abstract_state(
    method: Method, optimiser: optax.GradientTransformation, key: jax.Array, views: Tree, mesh: Mesh
) -> State:
    """Shapes, types and shardings of the state: the one description that creation and restoring go by."""
    shapes = jax.eval_shape(lambda k, v: initial_state(method, optimiser, k, v), key, views)
    sharding = replicated(mesh)
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), shapes)


def create_state(
    method: Method, optimiser: optax.GradientTransformation, key: jax.Array, views: Tree, abstract: State
) -> State:
    """Make the state where it is to lie; moments made outside jit would all land on one device."""
    shardings = jax.tree.map(lambda a: a.sharding, abstract)
    return jax.jit(lambda k, v: initial_state(method, optimiser, k, v), out_shardings=shardings)(key, views)
