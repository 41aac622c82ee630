"""What makes the variables of one network fit another that differs in how it is run or in what it is shown."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxssl.models.positions import interpolated

Tree = Any
STACKED = "blocks"
FIRST_CONVOLUTIONS = ("stem/kernel", "patch/kernel", "level0/conv0/conv/kernel", "level0/first/conv/kernel")
"""Where an encoder first sees pixels, [i, j, channel, out]: ResNet and DenseNet, ViT, VGG, U-Net."""
OWN = ("mask_token", "representation")
"""What hidden patches are replaced by, and what stands between the last map and the embedding."""
OPTIONS = {
    r"(^|/)statistics/": ("model.norm.type",),
    r"(^|/)tokens$": ("model.pool", "model.registers"),
    r"(^|/)positions/": ("model.positions", "model.pool"),
    r"(^|/)(attention|mlp)_scale$": ("model.layer_scale",),
}
"""Patterns of paths, and what decides whether a network has such an array at all."""


def fitted(given: Mapping[str, Tree], fresh: Mapping[str, Tree]) -> tuple[dict[str, Tree], list[str]]:
    """The variables of a part, {"params": ..., "statistics": ...}, as a fresh one has them, and what was adapted.

    Whatever has no rule here stays as it was given, for the caller to refuse by name. Of `fresh` nothing but shapes is
    asked, save of what stays fresh. Arrays of numpy give arrays of numpy.
    """
    params, adapted = given["params"], []
    for adapt in (_blocks, _positions, _channels, _own):
        params, sentences = adapt(params, fresh["params"])
        adapted += sentences
    return {**given, "params": params}, adapted


def deciding(path: str) -> tuple[str, ...]:
    """The options that decide whether a network has an array of this path; none where it is more than they."""
    return next((options for pattern, options in OPTIONS.items() if re.search(pattern, path)), ())


def apart(params: Tree) -> Tree:
    """Params whose stacked blocks, where there are such, lie apart as block0, block1, ...; of arrays or of shapes."""
    if STACKED not in params:
        return params
    depth = jax.tree.leaves(params[STACKED])[0].shape[0]
    blocks = {f"block{n}": jax.tree.map(lambda leaf, n=n: _layer(leaf, n), params[STACKED]) for n in range(depth)}
    return {**{name: leaves for name, leaves in params.items() if name != STACKED}, **blocks}


def _layer(leaf: Any, number: int) -> Any:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
    return leaf[number]


def _blocks(given: Tree, fresh: Tree) -> tuple[Tree, list[str]]:
    """Blocks of their own, or stacked as a loop over them wants it: the same numbers."""
    if STACKED in given and "block0" in fresh:
        depth = len(jax.tree.leaves(given[STACKED])[0])
        return apart(given), [f"blocks: taken apart into block0 to block{depth - 1}."]
    if STACKED in fresh and "block0" in given:
        names = sorted((name for name in given if re.fullmatch(r"block\d+", name)), key=lambda name: int(name[5:]))
        blocks = [given[name] for name in names]
        if any(_shapes(block) != _shapes(blocks[0]) for block in blocks):
            return given, []
        rest = {name: leaves for name, leaves in given.items() if name not in names}
        stacked = jax.tree.map(lambda *layers: _like(layers[0], jnp.stack(layers)), *blocks)
        return {**rest, STACKED: stacked}, [f"block0 to {names[-1]}: stacked into blocks."]
    return given, []


def _positions(given: Tree, fresh: Tree) -> tuple[Tree, list[str]]:
    """Learnt positions on the grid of this network's images, as they would be interpolated at every use."""
    name = "positions/grid"
    old, new = _found(given, name), _found(fresh, name)
    if old is None or new is None or old.shape == new.shape or old.shape[2:] != new.shape[2:]:
        return given, []
    grid = _like(old, interpolated(jnp.asarray(old), *new.shape[:2]))
    sizes = ["x".join(str(side) for side in leaf.shape[:2]) for leaf in (old, new)]
    return _replaced(given, name, grid), [f"{name}: interpolated from {sizes[0]} to {sizes[1]}."]


def _channels(given: Tree, fresh: Tree) -> tuple[Tree, list[str]]:
    """The first convolution on another number of channels."""
    adapted = []
    for name in FIRST_CONVOLUTIONS:
        old, new = _found(given, name), _found(fresh, name)
        # A decoder, which has doublings, may have a convolution of that name too: what it sees is not an image.
        if old is None or new is None or "up0" in fresh or old.ndim != 4 or old.shape[2] == new.shape[2]:
            continue
        if (*old.shape[:2], old.shape[3]) == (*new.shape[:2], new.shape[3]):
            given = _replaced(given, name, _like(old, spread(jnp.asarray(old), new.shape[2])))
            adapted.append(
                f"{name}: from {old.shape[2]} to {new.shape[2]} channels of the image, their sum shared equally."
            )
    return given, adapted


def spread(kernel: Float[Array, "i j old out"], channels: int) -> Float[Array, "i j new out"]:
    """The sum over the input channels, divided equally among the new ones.

    To an image whose channels are all equal the response stays the same: that of one channel is that of the image fed
    to all the old ones. Any other rule would have to know which of the new channels is most like red.
    """
    shared = kernel.sum(axis=2, keepdims=True) / channels
    return jnp.repeat(shared, channels, axis=2)


def _own(given: Tree, fresh: Tree) -> tuple[Tree, list[str]]:
    """What serves a pretext or the embedding alone: left behind where there is none, fresh still where none comes."""
    kept = {name: fresh[name] for name in OWN if name in fresh and name not in given}
    left = [name for name in OWN if name in given and name not in fresh]
    rest = {name: leaves for name, leaves in given.items() if name not in left}
    sentences = [f"{name}: fresh, as none came." for name in kept]
    return {**rest, **kept}, sentences + [f"{name}: left behind, as there is none here." for name in left]


def _found(tree: Tree, name: str) -> Any:
    """The leaf of this name, "positions/grid", or none."""
    for key in name.split("/"):
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return None if isinstance(tree, Mapping) else tree


def _replaced(tree: Tree, name: str, leaf: Any) -> Tree:
    key, _, rest = name.partition("/")
    return {**tree, key: _replaced(tree[key], rest, leaf) if rest else leaf}


def _shapes(tree: Tree) -> Any:
    return jax.tree.structure(tree), [leaf.shape for leaf in jax.tree.leaves(tree)]


def _like(old: Any, new: jax.Array) -> Any:
    """On the host if the old leaf was: where it goes on the devices is for others to say."""
    return new if isinstance(old, jax.Array) else np.asarray(new)
