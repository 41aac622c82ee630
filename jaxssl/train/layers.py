"""Which layer a parameter belongs to, read from its name: all that training knows of networks.

Params are dicts by part. An encoder's layers are numbered children (`level0`, `block11`), or, run in a loop, stacked
along the first axis of `blocks`. What else it has stands before the first layer (patches, positions, tokens, stem),
save `norm` and `representation`, which stand after the last. Other parts (decoder, heads) come after the encoder.
"""

import re
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxssl.errors import UserError
from jaxssl.models.fit import STACKED

AFTER = ("norm", "representation")
_NUMBERED = re.compile(r"[a-z]+(\d+)")

Names = tuple[str, ...]


def by_name(function: Any, params: Any, *others: Any) -> Any:
    """`function(names, leaf, ...)` of every leaf, with the names that lead to it: ("encoder", "level0", "bias")."""
    return jax.tree_util.tree_map_with_path(
        lambda path, *leaves: function(tuple(str(getattr(key, "key", key)) for key in path), *leaves), params, *others
    )


def axes_of_one_layer(names: Names, leaf: Array) -> tuple[int, ...]:
    """The axes of an array that lie within one layer: all of them, save the first where layers are stacked."""
    return tuple(range(int(STACKED in names), leaf.ndim))


def layer_factors(params: Any, decay: float) -> Any:
    """decay ** (layers above) for every leaf, as a number, or as [layers, 1, ...] for stacked ones.

    With n layers, decoder, heads and what the encoder has after the last layer have factor 1, layer i has
    decay ** (n - i), and what stands before the first layer decay ** (n + 1).
    """
    encoder = params.get("encoder", {})
    numbers = [int(found[1]) for name in encoder if (found := _NUMBERED.fullmatch(name))]
    loops = [leaf.shape[0] for leaf in jax.tree.leaves(encoder.get(STACKED, {}))]
    layers = max([0, *(number + 1 for number in numbers), *loops])
    if not layers:
        raise UserError(
            "optim.layer_decay needs an encoder with numbered layers, and this one has none: set it to None."
        )

    def factor(names: Names, leaf: Array) -> float | Float[Array, "layers ..."]:
        if names[0] != "encoder" or names[1] in AFTER:
            return 1.0
        if names[1] == STACKED:
            above = layers - jnp.arange(layers, dtype=leaf.dtype)
            return (decay**above).reshape(-1, *[1] * (leaf.ndim - 1))
        number = _NUMBERED.fullmatch(names[1])
        return decay ** (layers - int(number[1]) if number else layers + 1)

    return by_name(factor, params)
