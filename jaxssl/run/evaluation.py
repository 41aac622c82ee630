"""What fine-tuning is judged by."""

from typing import Any

import jax
import numpy as np

from jaxssl.data.source import Source
from jaxssl.evaluate.segment import segment_subjects
from jaxssl.methods.base import Method, Tree
from jaxssl.recipe import Recipe


def evaluate_segmentation(
    recipe: Recipe, source: Source, method: Method, params: Tree, carry: Tree
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """3D Dice of the test subjects in their original grid, ready for evaluation.json, and pictures of a few slices."""
    assert method.predict is not None  # noqa: S101 - finetune has refused methods without
    info = source.store.info
    variables, predict = method.parts(params, carry), jax.jit(method.predict)
    scores, pictures = segment_subjects(
        lambda batch: predict(variables, batch),
        source.store,
        source.cache,
        source.split.test,
        views=recipe.data.views,
        moments=[moment for moment in ("ED", "ES") if moment in info.moments] or [""],
        batch=recipe.train.batch,
    )
    result = {
        "kind": "segmentation",
        "unit": "subject",
        "data": f"{info.name} (synthetic)" if info.synthetic else info.name,
        "fingerprint": source.store.fingerprint,
        "classes": list(info.classes[1:]),
        "training_subjects": len(source.training_subjects),
        "subset_seed": source.options.subset_seed,
        "seed": recipe.train.seed,
        "subjects": scores,
        "mean_dice": float(np.mean([row["dice"] for row in scores])),
        "n": len({row["subject"] for row in scores}),
    }
    return result, pictures
