"""Variables by part as arrays by path: "encoder/params/level0/first/conv/kernel", as native files call them."""

from collections.abc import Mapping
from typing import Any

import jax

from jaxssl.models.fit import apart

Tree = Any
KINDS = ("params", "statistics")


def by_path(variables: Mapping[str, Tree]) -> dict[str, Any]:
    """Leaves of nested dicts by path; a branch without leaves has no path."""
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def nested(leaves: Mapping[str, Any]) -> dict[str, Tree]:
    """Undo `by_path`; every part has its params and its statistics, be they empty."""
    tree: dict[str, Tree] = {}
    for path, leaf in leaves.items():
        *branches, last = path.split("/")
        here = tree
        for branch in branches:
            here = here.setdefault(branch, {})
        here[last] = leaf
    return {part: {kind: kinds.get(kind, {}) for kind in KINDS} for part, kinds in tree.items()}


def abstract(variables: Mapping[str, Tree]) -> dict[str, Tree]:
    """Shapes and types in the place of arrays."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), dict(variables))


def unrolled(variables: Mapping[str, Tree]) -> dict[str, Tree]:
    """Parts whose stacked blocks, where there are such, lie apart as block0, block1, ...; of arrays or of shapes."""
    return {part: {**own, "params": apart(own["params"])} for part, own in variables.items()}
