"""Fingerprints of a state: what every array held, in 64 bits, computed where the array lives.

A fingerprint tells whether two arrays are equal to the bit without moving them to the host. It is a sum of mixed words,
taken modulo 2^32: integer sums are associative, so neither the sharding nor the number of devices can change it.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, UInt32

Leaf = Any  # a jax or numpy array, a typed PRNG key, or jax.ShapeDtypeStruct

_GOLDEN = np.uint32(0x9E3779B1)
_WORD = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}


def named(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> dict[str, Leaf]:
    """Every array of a tree by its path, as in `params/encoder/kernel` or `moments/0/mu/encoder/kernel`."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree, is_leaf):
        parts = [jax.tree_util.keystr((key,), simple=True) for key in path]
        if any("/" in part for part in parts):
            raise ValueError(f"a key in a state must not contain '/': {parts}")
        leaves["/".join(parts)] = leaf
    return leaves


def nested(leaves: Mapping[str, Leaf], empty: Iterable[str] = ()) -> dict[str, Any]:
    """Nested dicts of arrays from their paths, with a dict without entries at each path of `empty`.

    The inverse of `named` and `empty_branches` for nested dicts; other containers come back as dicts.
    """
    tree: dict[str, Any] = {}
    for path, leaf in {**leaves, **{path: {} for path in empty}}.items():
        *parents, name = path.split("/")
        functools.reduce(lambda node, key: node.setdefault(key, {}), parents, tree)[name] = leaf
    return tree


def empty_branches(tree: Any) -> list[str]:
    """Paths of the dicts without entries, which no array tells of."""
    return [path for path, node in named(tree, is_leaf=_is_empty).items() if _is_empty(node)]


def describe(tree: Any) -> dict[str, dict[str, Any]]:
    """The dtype and shape of every array, by path; works on abstract arrays too.

    A typed PRNG key has the dtype of its generator (`key<fry>`) and the shape of its words.
    """
    return {path: {"dtype": str(leaf.dtype), "shape": _shape(leaf)} for path, leaf in named(tree).items()}


def fingerprint(tree: Any) -> dict[str, UInt32[Array, "2"]]:
    """The fingerprint of every array by path, as device values that need not be waited for.

    With words w_i (the bits of element i; two words for a 64-bit element) and h_i = mix(w_i xor i g), the two lanes
    are sum h_i and sum (2i + 1) h_i modulo 2^32. `mix` is a bijection and the weights are odd, so a change of a single
    word always changes both lanes; any other change goes unseen with a probability of about 2^-64.
    """
    return {path: _lanes(_for_device(leaf)) for path, leaf in named(tree).items()}


def readable(fingerprints: Mapping[str, UInt32[Array, "2"]]) -> dict[str, str]:
    """Fingerprints as 16 hexadecimal digits each; waits for the device."""
    return {path: f"{pair[0]:08x}{pair[1]:08x}" for path, pair in jax.device_get(dict(fingerprints)).items()}


def is_key(dtype: Any) -> bool:
    """Whether a dtype is that of typed PRNG keys."""
    return jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)


def _is_empty(node: Any) -> bool:
    return isinstance(node, dict) and not node


def _shape(leaf: Leaf) -> list[int]:
    return list(jax.eval_shape(jax.random.key_data, leaf).shape if is_key(leaf.dtype) else leaf.shape)


def _for_device(leaf: Leaf) -> Leaf:
    """A 64-bit numpy array as 32-bit words: jax would round its values to 32 bits before they could be seen."""
    if isinstance(leaf, np.ndarray) and leaf.dtype.itemsize == 8:
        return np.ascontiguousarray(leaf)[..., None].view(np.uint32)
    return leaf


# Compiled for each shape and dtype, of which even a large state has few, not for the tree as a whole.
@jax.jit
def _lanes(leaf: Leaf) -> UInt32[Array, "2"]:
    """Both lanes of one array's fingerprint."""
    words = _words(leaf)
    places = jnp.zeros(words.shape, jnp.uint32)
    stride = 1
    for axis in reversed(range(words.ndim)):
        places += lax.broadcasted_iota(jnp.uint32, words.shape, axis) * np.uint32(stride % 2**32)
        stride *= words.shape[axis]
    # Odd weights on the bare words would not do: swapping x and -x changes such a sum by 2 * 2^31 = 0.
    mixed = _mix(words ^ places * _GOLDEN)
    return jnp.stack([jnp.sum(mixed, dtype=jnp.uint32), jnp.sum(mixed * (2 * places + 1), dtype=jnp.uint32)])


def _words(array: Leaf) -> UInt32[Array, "..."]:
    """The bits of an array as 32-bit words, in the array's own shape: flattening would gather a sharded one."""
    if is_key(array.dtype):
        array = jax.random.key_data(array)
    if array.dtype == bool:
        return array.astype(jnp.uint32)
    return lax.bitcast_convert_type(array, _WORD[array.dtype.itemsize]).astype(jnp.uint32)


def _mix(words: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """A bijection of 32-bit words in which every bit of the result depends on every bit given."""
    words = (words ^ words >> 16) * np.uint32(0x7FEB352D)
    words = (words ^ words >> 15) * np.uint32(0x846CA68B)
    return words ^ words >> 16
