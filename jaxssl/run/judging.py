"""What fine-tuning is refused for, and what comes of it, by the task that a method has."""

from collections.abc import Callable
from typing import Any, NamedTuple

from rich.console import Console

from jaxssl import config
from jaxssl.data.seen import refuse_leak
from jaxssl.data.source import Part, Source
from jaxssl.errors import UserError
from jaxssl.methods.base import Method, Tree
from jaxssl.recipe import Recipe
from jaxssl.run.classification import evaluate_classification, in_words, refuse_unlearnable
from jaxssl.run.evaluation import evaluate_segmentation
from jaxssl.run.openings import begun, opening, tested, told_apart
from jaxssl.run.terminal import warner
from jaxssl.workdir import Workdir


class Judge(NamedTuple):
    """`evaluate(recipe, source, method, variables, on)` gives what a file of results says besides `of_whom`, and
    pictures; `in_words` the outcome in a sentence."""

    evaluate: Callable[..., tuple[dict[str, Any], dict[str, Any]]]
    in_words: Callable[[dict[str, Any]], str]


JUDGES = {
    "segmentation": Judge(
        evaluate_segmentation,
        lambda result: f"Dice {result['mean_dice']:.3f} on {result['n']} {result['on']} subjects.",
    ),
    "classification": Judge(evaluate_classification, in_words),
}


FILES = {"test": "evaluation.json", "validation": "validation.json"}
"""In a run's folder, what it was judged by."""


def judge(
    recipe: Recipe,
    source: Source,
    method: Method,
    variables: dict[str, Tree],
    on: Part,
    folder: Workdir,
    console: Console,
) -> dict[str, Any]:
    """Evaluate on the subjects of a part, and write down what came out; of the test subjects, which time it was."""
    task = JUDGES[method.task]
    found, pictures = task.evaluate(recipe, source, method, variables, on)
    result = {**of_whom(recipe, source, on), **found}
    if on == "test":
        result["opening"] = _opening(recipe, source, result, folder)
    folder.add_pictures(pictures)
    config.write_json(result, folder.path / FILES[on])
    console.print(task.in_words(result))
    if (result.get("opening") or 1) > 1:
        warner(console)(
            f"this is opening {result['opening']} of these test subjects, which have answered the same question of "
            "another recipe before; choose by --on validation."
        )
    return result


def of_whom(recipe: Recipe, source: Source, on: Part) -> dict[str, Any]:
    """What every file of results says of the subjects that were asked, and of the training they were asked after."""
    info = source.store.info
    return {
        "on": on,
        "data": f"{info.name} (synthetic)" if info.synthetic else info.name,
        "fingerprint": source.store.fingerprint,
        "training_subjects": len(source.training_subjects),
        "subset_seed": source.options.subset_seed,
        "seed": recipe.train.seed,
    }


def _opening(recipe: Recipe, source: Source, result: dict[str, Any], folder: Workdir) -> int | None:
    """Runs that a study compares ask different questions: from scratch or not, with so many labels, with that seed,
    shown the heart alone or all but it, with an encoder that is trained or frozen, and as the study has named them.
    """
    begun_from, way = begun(folder)
    question = {name: result[name] for name in ("kind", "classes", "training_subjects", "subset_seed", "seed")}
    question |= {"target": result.get("target"), "origin": begun_from, **tested(source)}
    planned = folder.facts().get("planned", "")
    if arm := [*told_apart(config.to_dict(recipe)), *([planned] if planned else [])]:
        question["arm"] = arm
    if result["kind"] == "segmentation":
        # They say what is segmented; a classifier is shown other images of the same subjects.
        question["views"] = sorted(recipe.data.views)
    return opening(source.store.path, question, way, folder.path)


def refuse_without_evaluation(recipe: Recipe, method: Method, source: Source, on: Part) -> None:
    """Refuse to fine-tune what could not be evaluated, or not honestly."""
    if not method.task:
        raise UserError(
            f"{recipe.name} learns without labels; use jaxssl pretrain, or finetune segment:small or classify:small."
        )
    if not getattr(source.split, on):
        where = recipe.data.split or f"data.fractions {recipe.data.fractions}"
        raise UserError(f"There is no {on} subject by {where}; give that part some.")
    # Under two names somebody may be in two parts of one store.
    refuse_leak(source.seen(source.training_subjects), source.seen(source.split.test), "this run in its own training")
    if method.task == "classification":
        refuse_unlearnable(recipe, source, on)
    elif source.store.info.masks_by:
        raise UserError(
            f"The masks of {recipe.data.store} were made by a network ({source.store.info.masks_by}), and what is "
            "compared with them would be scored against that; fine-tune on the store that it was made from."
        )
