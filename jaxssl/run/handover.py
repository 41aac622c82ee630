"""What a run takes over from another: the parts of its networks, where they fit and where nothing leaks."""

import dataclasses
from typing import Any

import jax
from rich.console import Console

from jaxssl.data.source import Source
from jaxssl.errors import UserError
from jaxssl.methods.base import Tree
from jaxssl.methods.parts import adopt
from jaxssl.recipe import Recipe
from jaxssl.run.common import load_run
from jaxssl.train.state import State, weights
from jaxssl.workdir import existing, refuse_leak


def parts_of(recipe: Recipe, source: Source, console: Console) -> dict[str, Tree]:
    """The parts that `init` asks for, of a run that has not seen the test subjects."""
    init = recipe.init
    other = existing(init.run or "")
    refuse_leak(other.subjects_seen(), source.split.test, str(init.run))
    available = load_run(other, lambda sentence: console.print(f"Warning: {sentence}", style="yellow")).parts
    taken = {part: available[part] for part in init.parts if part in available}
    unknown = sorted(set(init.parts) - set(available) - {"encoder", "decoder", "head"})
    if unknown or not taken:
        asked = ", ".join(unknown or init.parts) or "nothing"
        raise UserError(f"init.parts asks for {asked}, but {init.run} has {', '.join(sorted(available))}.")
    return taken


def take_over(taken: dict[str, Tree], state: State, abstract: State) -> State:
    """The state with these variables in their places, in the average as well, laid out as `abstract` says."""
    params, carry = adopt(state.params, state.carry, taken)
    state = dataclasses.replace(state, params=params, carry=carry)
    if state.average:
        average = weights(*adopt(state.average["params"], state.average, taken))
        state = dataclasses.replace(state, average=average)

    def put(leaf: Any, wanted: jax.ShapeDtypeStruct) -> jax.Array:
        if isinstance(leaf, jax.Array):
            return leaf
        # Each process puts down what its own devices hold; device_put would first compare the whole among them all.
        return jax.make_array_from_callback(leaf.shape, wanted.sharding, lambda index: leaf[index])

    return jax.tree.map(put, state, abstract)
