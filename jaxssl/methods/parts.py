"""What methods share: modules held by part, running statistics by part, and views of a batch.

Params and `carry["statistics"]` are dicts by part ("encoder", "decoder", "head"); a part's variables are its params and
its running statistics together, which is what is handed from run to run.
"""

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.tree_util import keystr, tree_leaves_with_path

from jaxssl.augment.affine import draw_affine
from jaxssl.augment.each import for_each
from jaxssl.augment.options import Augment
from jaxssl.augment.views import augment, standardise
from jaxssl.errors import UserError
from jaxssl.methods import teacher
from jaxssl.methods.base import Batch, Progress, Tree
from jaxssl.models.fit import deciding, fitted
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


def of_dicts(params: Tree, carry: Tree) -> dict[str, Tree]:
    """`Method.parts` where params and statistics are dicts by part."""
    return {part: {"params": params[part], "statistics": carry["statistics"].get(part, {})} for part in params}


def apart(variables: dict[str, Tree]) -> tuple[Tree, Tree]:
    """Undo `of_dicts`: params and running statistics by part."""
    params, statistics = ({part: own[kind] for part, own in variables.items()} for kind in ("params", "statistics"))
    return params, statistics


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


def all_but(frozen: Collection[str]) -> Callable[[Tree, Progress], Tree]:
    """`Method.trainable` where some parts stay as they came."""

    def trainable(params, progress):
        del progress
        return {part: jax.tree.map(lambda _, on=part not in frozen: on, own) for part, own in params.items()}

    return trainable


def standardised(batch: Batch) -> jax.Array:
    """The images of a batch in units of their subject's standard deviation about its mean."""
    return jax.vmap(standardise)(batch["image"], batch["mean"], batch["std"])


def view(
    keys: jax.Array, index: int, batch: Batch, options: Augment, size: tuple[int, int] | None = None
) -> tuple[jax.Array, jax.Array | None]:
    """The `index`-th augmented view of every sample and, where the batch has masks, its mask.

    A view has `size` (y, x) pixels, as many as the image if none.
    """
    return for_each(lambda key, sample: view_of(key, index, sample, options, size), keys, batch)


def view_of(
    key: jax.Array, index: Any, sample: Batch, options: Augment, size: tuple[int, int] | None
) -> tuple[jax.Array, jax.Array | None]:
    """The same of one sample."""
    image = standardise(sample["image"], sample["mean"], sample["std"])
    return augment(jax.random.fold_in(key, index), image, sample.get("mask"), sample["spacing"], options, size)


def maps(keys: jax.Array, index: int, batch: Batch, options: Augment, size: tuple[int, int] | None = None) -> jax.Array:
    """For the same views, how geometric targets move: [B, 2, 3], pixels (y, x, 1) of the view to those of the image."""
    shape = (batch["image"].shape[1], batch["image"].shape[2])

    def one(key, spacing):
        return draw_affine(jax.random.fold_in(key, index), options, shape, spacing, size)

    return jax.vmap(one)(keys, batch["spacing"])


def keys_of_views(keys: jax.Array, views: int) -> jax.Array:
    """One key for each view of each sample, [batch * views], the views of a sample together."""
    return jax.vmap(lambda key: jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(views)))(keys).reshape(-1)


def spread(embeddings: jax.Array) -> dict[str, jax.Array]:
    """What tells a collapse, of unit embeddings [N, d] with covariance C over the batch.

    embedding_std: sqrt(tr C), 1 where they fill the sphere, 0 where all are one.
    off_diagonal_similarity: mean cosine of two different rows, (N |mean|^2 - 1) / (N - 1), 1 where all are one.
    effective_rank: (tr C)^2 / tr(C^2), in how many directions they differ about equally, 0 where in none.
    Of fewer than four rows these say more of their number than of the network: then there are none.
    """
    if len(embeddings) < 4:
        return {}
    rows = island(embeddings)
    rows = rows / jnp.maximum(jnp.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    covariance = jnp.cov(rows, rowvar=False, bias=True)
    trace, square = jnp.trace(covariance), jnp.sum(covariance**2)
    return {
        "embedding_std": jnp.sqrt(trace),
        "off_diagonal_similarity": (len(rows) * jnp.sum(rows.mean(0) ** 2) - 1) / (len(rows) - 1),
        "effective_rank": jnp.where(square > 0, trace**2 / jnp.where(square > 0, square, 1), 0),
    }


def fit(params: Tree, carry: Tree, variables: dict[str, Tree]) -> tuple[dict[str, Tree], list[str]]:
    """The variables of some parts as fresh ones have them, and a sentence for each thing that had to be adapted.

    A part that still differs in any shape is refused by name.
    """
    fit_here, adapted = {}, []
    for part, given in variables.items():
        fresh = {"params": params[part], "statistics": carry["statistics"].get(part, {})}
        fit_here[part], sentences = fitted(given, fresh)
        adapted += [f"{part}/{sentence}" for sentence in sentences]
        if different := _differences(fresh, fit_here[part]):
            raise UserError(
                f"Part {part!r} does not fit this model: {'; '.join(different[:3])}"
                f"{f' (and {len(different) - 3} more)' if len(different) > 3 else ''}; "
                "choose the model options that it was trained with, or leave the part out of init.parts."
            )
    return fit_here, adapted


def adopt(params: Tree, carry: Tree, variables: dict[str, Tree]) -> tuple[Tree, Tree]:
    """Put the variables of some parts in the place of fresh ones, made to fit, in student and teacher alike."""
    for part, own in fit(params, carry, variables)[0].items():
        params = {**params, part: own["params"]}
        carry = {**carry, "statistics": {**carry["statistics"], part: own["statistics"]}}
    if "teacher" in carry:
        carry = {**carry, "teacher": teacher.copy(params, carry["statistics"], carry["teacher"]["params"])}
    return params, carry


def _differences(fresh: Tree, given: Tree) -> list[str]:
    shapes = [
        {keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in tree_leaves_with_path(tree)}
        for tree in (fresh, given)
    ]
    here, there = shapes

    def said(name: str) -> str:
        options = " and ".join(deciding(name))
        words = f"{there.get(name, 'absent')} there and {here.get(name, 'absent')} here"
        return f"{name} is {words} ({options})" if options else f"{name} is {words}"

    return [said(name) for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]
