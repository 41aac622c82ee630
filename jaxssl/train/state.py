"""Everything that training carries from step to step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxssl.methods.base import Method, Tree
from jaxssl.train.keys import named_key
from jaxssl.train.mesh import of_state


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """seed: all that is drawn at random follows from it; it is no constant of the step's program, which runs of several
    seeds share. step: steps taken. carry: the method's own. moments: the optimiser's. average: that of the weights over
    time, or {}. skipped: steps left out as not finite, in all and in a row."""

    seed: jax.Array
    step: jax.Array
    params: Any
    carry: Any
    moments: Any
    average: Any
    skipped: jax.Array
    skipped_in_a_row: jax.Array


def weights(params: Tree, carry: Tree) -> Tree:
    """What an average of the weights is taken of: running statistics belong to the weights that they were seen with."""
    return {"params": params, "statistics": carry.get("statistics", {})}


def evaluated(params: Tree, carry: Tree, average: Tree) -> tuple[Tree, Tree]:
    """Params and carry as they are evaluated and handed on: averaged, where the run keeps an average."""
    if not average:
        return params, carry
    return average["params"], {**carry, "statistics": average["statistics"]}


def initial_state(
    method: Method, optimiser: optax.GradientTransformation, seed: int | jax.Array, views: Tree, averaged: bool
) -> State:
    """The state before the first step; pure, so that it can be evaluated abstractly or under jit."""
    params, carry = method.init(named_key(seed, "init"), views)
    zero = jnp.zeros((), jnp.int32)
    average = weights(params, carry) if averaged else {}
    return State(jnp.uint32(seed), zero, params, carry, optimiser.init(params), average, zero, zero)


def abstract_state(
    method: Method,
    optimiser: optax.GradientTransformation,
    seed: int,
    views: Tree,
    mesh: Mesh,
    averaged: bool = False,
) -> State:
    """Shapes, types and shardings of the state: the one description that creation and restoring go by."""
    shapes = jax.eval_shape(_traced_once(method, optimiser, averaged), jnp.uint32(seed), views)
    return jax.tree.map(
        lambda a, sharding: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), shapes, of_state(mesh, shapes)
    )


def create_state(
    method: Method, optimiser: optax.GradientTransformation, seed: int, views: Tree, abstract: State
) -> State:
    """Make the state where it is to lie, by the shapes of some views; moments made outside jit would all land on one
    device.

    On a CPU the program is compiled without polish, in a seventh of the time or a half: it runs once.
    """
    make = _traced_once(method, optimiser, bool(abstract.average))
    unpolished = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None

    def state(seed: jax.Array) -> State:
        return make(seed, jax.tree.map(lambda view: jnp.zeros(view.shape, view.dtype), views))

    shardings = jax.tree.map(lambda a: a.sharding, abstract)
    return jax.jit(state, out_shardings=shardings, compiler_options=unpolished)(jnp.uint32(seed))


@lru_cache(maxsize=4)
def _traced_once(method: Method, optimiser: optax.GradientTransformation, averaged: bool) -> Callable[..., State]:
    """Of seed and views, the first state: one function for its shapes and for itself, whose trace both find."""
    return jax.jit(lambda seed, views: initial_state(method, optimiser, seed, views, averaged), inline=True)
