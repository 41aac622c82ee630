"""What fine-tuning is judged by."""

from typing import Any

import jax
import numpy as np

from jaxssl.data.record import CLASSES
from jaxssl.data.source import Source
from jaxssl.evaluate.segment import segment_subjects
from jaxssl.methods import segment
from jaxssl.methods.base import Tree
from jaxssl.recipe import Recipe
from jaxssl.run.common import spec_of


def evaluate_segmentation(
    recipe: Recipe, source: Source, variables: dict[str, Tree]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """3D Dice of the test subjects in their original grid, ready for evaluation.json, and pictures of a few slices."""
    predict = jax.jit(segment.predictor(recipe.method, recipe.model, spec_of(recipe, source.store.info.channels)))
    scores, pictures = segment_subjects(
        lambda batch: predict(variables, batch),
        source.store,
        source.cache,
        source.split.test,
        views=recipe.data.views,
        moments=("ED", "ES"),
        batch=recipe.train.batch,
    )
    info = source.store.info
    result = {
        "kind": "segmentation",
        "unit": "subject",
        "data": f"{info.name} (synthetic)" if info.synthetic else info.name,
        "classes": list(CLASSES[1:]),
        "training_subjects": len(source.training_subjects),
        "subset_seed": recipe.data.subset_seed,
        "seed": recipe.train.seed,
        "subjects": scores,
        "mean_dice": float(np.mean([row["dice"] for row in scores])),
        "n": len({row["subject"] for row in scores}),
    }
    return result, pictures
