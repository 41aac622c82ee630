"""What a segmentation is judged by."""

from collections import defaultdict
from typing import Any

import jax
import numpy as np

from jaxssl.data.source import Part, Source
from jaxssl.evaluate.segment import segment_subjects
from jaxssl.methods.base import Method, Tree
from jaxssl.recipe import Recipe


def evaluate_segmentation(
    recipe: Recipe,
    source: Source,
    method: Method,
    variables: dict[str, Tree],
    on: Part,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Scores of held-out subjects in their original grid, ready for evaluation.json, and pictures of a few slices.

    "mean_dice" is over subjects, each with the mean over the classes of its volumes.
    """
    assert method.predict is not None  # noqa: S101 - finetune has refused methods without
    info = source.store.info
    predict = jax.jit(method.predict)
    scores, hearts, pictures = segment_subjects(
        lambda batch: predict(variables, batch),
        source.store,
        source.cache,
        getattr(source.split, on),
        views=recipe.data.views,
        moments=[moment for moment in ("ED", "ES") if moment in info.moments] or [""],
        batch=recipe.train.batch,
    )
    dice: dict[str, list[list[float]]] = defaultdict(list)
    for row in scores:
        dice[row["subject"]].append(row["dice"])
    result = {
        "kind": "segmentation",
        "unit": "subject",
        "classes": list(info.classes[1:]),
        "subjects": scores,
        "hearts": hearts,
        "mean_dice": float(np.mean([np.mean(own) for own in dice.values()])),
        "n": len(dice),
    }
    return result, pictures
