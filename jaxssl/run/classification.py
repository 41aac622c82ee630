"""What a classifier may be trained on, and what it is judged by."""

from typing import Any

import jax
import numpy as np

from jaxssl.data.source import Part, Source
from jaxssl.errors import UserError
from jaxssl.evaluate.classify import as_json, classify_subjects, count_by_class, unit_of
from jaxssl.evaluate.metrics import measures
from jaxssl.methods.base import Method, Tree
from jaxssl.recipe import Recipe
from jaxssl.run.shown import shown


def label_counts(source: Source) -> tuple[int, ...]:
    """How many of those that are trained on have each class: subjects, where the label is theirs, else samples."""
    codes, subjects = source.labels.codes, source.cache.table["subject"]
    rows = source.samples(source.training_subjects).rows
    unit = unit_of(subjects, codes)
    return tuple(count_by_class(subjects[rows], codes[rows], unit, len(source.labels.names)).tolist())


def refuse_unlearnable(recipe: Recipe, source: Source, on: Part) -> None:
    """Refuse masks that no new patient comes with, and labels that nothing can be learnt or tested by."""
    store, target = recipe.data.store, recipe.data.label
    if shown(recipe) and not source.store.info.masks_by:
        raise UserError(
            f"method.input {recipe.method.input} is cut out by masks, and those of {store} are true ones, which no new "
            "patient comes with; name a store with masks that `jaxssl segment` has predicted, or set method.input full."
        )
    if sum(count > 0 for count in label_counts(source)) < 2:
        raise UserError(
            f"The training subjects have fewer than two classes of {target}; add subjects, or choose another label."
        )
    if (source.labels.codes[source.samples(getattr(source.split, on)).rows] < 0).all():
        raise UserError(f"No {on} subject's {target} is known; give the {on} part subjects that have it.")


def evaluate_classification(
    recipe: Recipe,
    source: Source,
    method: Method,
    variables: dict[str, Tree],
    on: Part,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The answers for held-out subjects and their scores, ready for evaluation.json; there are no pictures."""
    assert method.predict is not None  # noqa: S101 - finetune has refused methods without
    codes = source.labels.codes
    predict = jax.jit(method.predict)
    cases = classify_subjects(
        lambda batch: predict(variables, batch),
        source.cache,
        source.samples(getattr(source.split, on)),
        codes,
        masks=recipe.data.masks,
        batch=recipe.train.batch,
    )
    result = {
        "kind": "classification",
        "target": recipe.data.label,
        "unit": unit_of(source.cache.table["subject"], codes),
        "classes": list(source.labels.names),
        "cases": as_json(cases),
        "measures": measures(cases.truth, cases.probabilities),
        "n": len(np.unique(cases.subjects)),
    }
    return result, {}


def in_words(result: dict[str, Any]) -> str:
    """The outcome in a sentence."""
    found, images = result["measures"], f"{len(result['cases'])} images of " if result["unit"] == "image" else ""
    auroc = "none (the cases have one class)" if found["auroc"] is None else f"{found['auroc']:.3f}"
    absent = sorted(set(result["classes"]) - {result["classes"][case["truth"]] for case in result["cases"]})
    without = f"; none of them is {' or '.join(absent)}" if absent else ""
    return (
        f"{result['target']}: AUROC (macro, one against the rest) {auroc}, balanced accuracy "
        f"{found['balanced_accuracy']:.3f}, F1 {found['f1']:.3f} on {images}{result['n']} {result['on']} "
        f"subjects{without}."
    )
