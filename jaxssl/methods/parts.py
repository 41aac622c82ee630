"""What methods share: networks held by part, running statistics by part, and views of a batch.

Params and `carry["statistics"]` are dicts by part ("encoder", "decoder", "head"); a part's variables are its params and
its running statistics together, which is what is handed from run to run.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxssl.augment.options import Augment
from jaxssl.augment.views import augment, standardise
from jaxssl.errors import UserError
from jaxssl.methods.base import Batch, Progress, Tree
from jaxssl.models.norm import Norm, running
from jaxssl.numerics import island


def start(module: nn.Module, key: jax.Array, *inputs) -> tuple[Tree, Tree]:
    """Fresh params and running statistics of one part."""
    variables = module.init(key, *inputs, train=False)
    return variables.get("params", {}), variables.get("statistics", {})


def train(module: nn.Module, params: Tree, statistics: Tree, *inputs, **keys) -> tuple[Any, Tree]:
    """Output and normalisation moments of one part, normalised by the batch's own groups; encoders take `keys`."""
    output, changed = module.apply(
        {"params": params, "statistics": statistics}, *inputs, train=True, mutable=["moments"], **keys
    )
    return output, changed.get("moments", {})


def evaluate(module: nn.Module, params: Tree, statistics: Tree, *inputs) -> Any:
    """Output of one part, normalised by its running statistics."""
    return module.apply({"params": params, "statistics": statistics}, *inputs, train=False)


@dataclass(frozen=True)
class PixelNetwork:
    """Encoder, decoder and head in a row: images in, a tuple of maps out, finest first."""

    encoder: nn.Module
    decoder: nn.Module
    head: nn.Module

    def start(self, key: jax.Array, images: jax.Array) -> tuple[Tree, Tree]:
        """Params by part and a carry that holds their running statistics."""
        params, statistics, flow = {}, {}, images
        for i, (part, module) in enumerate(self._in_order()):
            params[part], statistics[part] = start(module, jax.random.fold_in(key, i), flow)
            flow = evaluate(module, params[part], statistics[part], flow)
        return params, {"statistics": statistics}

    def train(
        self, params: Tree, statistics: Tree, images: jax.Array, keys: jax.Array, frozen: Collection[str] = ()
    ) -> tuple[tuple[jax.Array, ...], Tree]:
        """Maps and the moments by part, with one key a sample.

        Frozen parts are normalised by their running statistics, draw nothing at random and give no moments.
        """
        moments: dict[str, Tree] = {}
        flow: Any = images
        for part, module in self._in_order():
            if part in frozen:
                flow = evaluate(module, params[part], statistics[part], flow)
            else:
                drawn = {"keys": keys} if part == "encoder" else {}
                flow, moments[part] = train(module, params[part], statistics[part], flow, **drawn)
        return flow, moments

    def predict(self, variables: dict[str, Tree], images: jax.Array) -> tuple[jax.Array, ...]:
        """Maps from the variables of each part, as `of_dicts` gives them."""
        flow: Any = images
        for part, module in self._in_order():
            flow = evaluate(module, variables[part]["params"], variables[part]["statistics"], flow)
        return flow

    def _in_order(self) -> tuple[tuple[str, nn.Module], ...]:
        return ("encoder", self.encoder), ("decoder", self.decoder), ("head", self.head)


def of_dicts(params: Tree, carry: Tree) -> dict[str, Tree]:
    """`Method.parts` where params and statistics are dicts by part."""
    return {part: {"params": params[part], "statistics": carry["statistics"].get(part, {})} for part in params}


def update(norm: Norm | None) -> Callable[[Tree, Tree, Tree, Tree, Progress], Tree]:
    """`Method.update` where running statistics are all that lives on; parts without moments keep theirs.

    Without `norm` there are no running statistics.
    """

    def update_statistics(params, carry, statistics, moments, progress):
        del params, statistics, progress
        if norm is None:
            return carry
        moved = {part: running(carry["statistics"][part], moments[part], norm.momentum) for part in moments}
        return {**carry, "statistics": {**carry["statistics"], **moved}}

    return update_statistics


def standardised(batch: Batch) -> jax.Array:
    """The images of a batch in units of their subject's standard deviation about its mean."""
    return jax.vmap(standardise)(batch["image"], batch["mean"], batch["std"])


def view(keys: jax.Array, index: int, batch: Batch, options: Augment) -> tuple[jax.Array, jax.Array | None]:
    """The `index`-th augmented view of every sample and, where the batch has masks, its mask."""
    keys = jax.vmap(lambda key: jax.random.fold_in(key, index))(keys)
    images = standardised(batch)

    def one(key, image, mask, spacing):
        return augment(key, image, mask, spacing, options)

    return jax.vmap(one)(keys, images, batch.get("mask"), batch["spacing"])


def keys_of_views(keys: jax.Array, views: int) -> jax.Array:
    """One key for each view of each sample, [batch * views], the views of a sample together."""
    return jax.vmap(lambda key: jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(views)))(keys).reshape(-1)


def spread(embeddings: jax.Array) -> jax.Array:
    """Standard deviation of unit embeddings over the batch, 1 when they fill the sphere, 0 when they have collapsed."""
    rows = island(embeddings)
    rows = rows / jnp.maximum(jnp.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return jnp.sqrt(rows.var(axis=0).sum())


def adopt(params: Tree, carry: Tree, variables: dict[str, Tree]) -> tuple[Tree, Tree]:
    """Put the variables of some parts in the place of fresh ones; one that differs in any shape is refused by name."""
    for part, given in variables.items():
        fresh = {"params": params[part], "statistics": carry["statistics"].get(part, {})}
        if different := _differences(fresh, given):
            raise UserError(
                f"Part {part!r} does not fit this model: {different[0]}; "
                "start from a run with the same model, or leave the part out of init.parts."
            )
        params = {**params, part: given["params"]}
        carry = {**carry, "statistics": {**carry["statistics"], part: given["statistics"]}}
    return params, carry


def _differences(fresh: Tree, given: Tree) -> list[str]:
    shapes = [
        {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (fresh, given)
    ]
    names = sorted(shapes[0].keys() | shapes[1].keys())
    return [
        f"{name} is {shapes[1].get(name, 'absent')} there and {shapes[0].get(name, 'absent')} here"
        for name in names
        if shapes[0].get(name) != shapes[1].get(name)
    ]
