"""`saliency`: where a classification run looks, and how much of that lies in the masks (of the heart, say)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro

from jaxssl import config
from jaxssl.data.plan import Samples
from jaxssl.data.source import Part, Source
from jaxssl.errors import UserError
from jaxssl.evaluate.saliency.explain import Explainer, Explanation, Scores, compare_with_chance, score_subjects
from jaxssl.evaluate.saliency.gradients import grad_cam, integrated_gradients
from jaxssl.evaluate.saliency.rollout import rollout
from jaxssl.evaluate.saliency.sanity import drawn_anew
from jaxssl.methods.base import build
from jaxssl.models.vit import ViT
from jaxssl.models.weights.paths import unrolled
from jaxssl.run.common import LoadedRun, load_run, opened_again, refuse_unfinished
from jaxssl.run.feed import Feed
from jaxssl.run.judging import of_whom
from jaxssl.run.shown import shown
from jaxssl.run.terminal import console_of, warner
from jaxssl.train.keys import named_key
from jaxssl.workdir import Workdir, existing

Map = Literal["gradcam", "rollout", "gradients"]
DRAWS = 3
"""Networks drawn anew that a map is compared with."""
COMPARED = 16
"""Samples whose maps are."""
BATCH = 16
"""Samples at most that are explained at once: gradients in a batch as large as in training may not fit one device."""


def saliency(
    run: Annotated[Path, tyro.conf.Positional],
    map: Map | None = None,
    on: Part = "test",
) -> dict:
    """Say how much of what a classifier looks at lies in masks, say of the heart, and whether its maps can be believed.

    *Measured* on classify:small and 342 images of 19 synthetic subjects: gradcam 21 seconds of CPU time, gradients 54.

    >>> classifier = jaxssl.finetune("classify:tiny", "runs/classify", {"data.store": "stores/hearts"})
    >>> found = jaxssl.saliency(classifier)
    >>> found["map"], found["on"], found["sanity"]["limit"]
    ('gradcam', 'test', 0.3)

    Args:
        run: Folder of a finished classification run.
        map: gradcam weighs the last feature maps of a CNN, rollout follows the attention of a ViT, gradients integrates
            those of the image from air on. Unless given, rollout for a ViT; for others gradcam, or gradients where the
            classes are read from an embedding.
        on: Whose images.
    """
    console, workdir = console_of(None), existing(run)
    refuse_unfinished(workdir)
    warn = warner(console)
    loaded = load_run(workdir, warn)
    _refuse_other_runs(loaded, workdir)
    map = map or _usual(loaded)
    _refuse_other_networks(loaded, map)
    source = opened_again(loaded, workdir, console)
    if source.cache.masks is None:
        raise UserError(
            f"{loaded.recipe.data.store} has no masks to lay maps over; name data with masks in training, "
            "such as a store that `jaxssl segment` has written."
        )
    if seen := shown(loaded.recipe):
        warn(f"in training {run} was shown {seen}.")
    samples = source.samples(getattr(source.split, on))
    explainer = _explainer(_unrolled(loaded, workdir), map, source, samples)
    scores = score_subjects(explainer, samples)
    if not scores.subjects:
        raise UserError(f"None of the {scores.left_out} {on} images has anything in its mask: nothing can be scored.")
    first = Feed(source, loaded.recipe.train).first(1)
    drawn = [drawn_anew(explainer.method, named_key(draw, "saliency"), first) for draw in range(DRAWS)]
    sanity = compare_with_chance(explainer, _some(samples), drawn)
    result = {**_about(loaded, source, map, on), **_summary(scores), "sanity": sanity}
    with workdir.alone(warn, wait=True):
        _write(result, scores.pictures, workdir)
    console.print(_in_words(result))
    if sentence := _doubt(result):
        warn(sentence)
    return result


FILES = {"test": "saliency.json", "validation": "saliency-validation.json"}
"""In a run's folder, where it looks in the images of whom, by the first map that was asked for."""


def _write(result: dict[str, Any], pictures: Mapping[str, np.ndarray], workdir: Workdir) -> None:
    path = _place(result, workdir)
    config.write_json(result, path)
    workdir.add_pictures({name.replace("saliency/", f"{path.stem}/"): stack for name, stack in pictures.items()})


def _place(result: Mapping[str, Any], workdir: Workdir) -> Path:
    """The first map stays; another goes beside it."""
    path = workdir.path / FILES[result["on"]]
    if path.exists() and config.read_json(path)["map"] != result["map"]:
        return path.with_name(f"{path.stem}-{result['map']}.json")
    return path


def _refuse_other_runs(loaded: LoadedRun, workdir: Workdir) -> None:
    """Only classifiers have something to explain."""
    if loaded.method.task != "classification":
        raise UserError(f"{workdir.path} has not learnt to classify; name a run of jaxssl finetune classify.")


def _usual(loaded: LoadedRun) -> Map:
    if isinstance(loaded.recipe.model, ViT):
        return "rollout"
    return "gradcam" if loaded.method.maps is not None else "gradients"


def _refuse_other_networks(loaded: LoadedRun, map: Map) -> None:
    """Refuse a map that this network has not."""
    if map == "rollout" and not isinstance(loaded.recipe.model, ViT):
        raise UserError(
            f"Rollout follows the attention of a ViT, and this run has a {type(loaded.recipe.model).__name__}; "
            "choose --map gradcam or gradients."
        )
    if map == "gradcam" and loaded.method.maps is None:
        raise UserError(
            "Grad-CAM weighs the maps that the classes are read from, and this run reads them from an embedding "
            "(method.pool); choose another --map."
        )


def _unrolled(loaded: LoadedRun, workdir: Workdir) -> LoadedRun:
    """The same network with its blocks one after the other: within a loop, or recomputed, attention cannot be seen."""
    recipe, facts = loaded.recipe, workdir.facts()
    if not isinstance(recipe.model, ViT):
        return loaded
    model = replace(recipe.model, scan=False, remat=False)
    spec = recipe.spec(facts["channels"], len(facts["classes"]), len(facts["labels"]))
    return replace(loaded, method=build(recipe.method, model, spec), parts=unrolled(loaded.parts))


def _explainer(loaded: LoadedRun, map: Map, source: Source, samples: Samples) -> Explainer:
    recipe, method = loaded.recipe, loaded.method
    explain: dict[Map, Callable[[], Explanation]] = {
        "gradcam": lambda: grad_cam,
        "gradients": lambda: partial(integrated_gradients, partners=tuple(samples.partners)),
        "rollout": lambda: partial(
            rollout,
            patch=recipe.model.patch_size,
            # Whoever reads from the map takes the mean of its patches, whatever else the ViT gives.
            read="token" if method.maps is None and recipe.model.pool == "token" else "patches",
        ),
    }
    variables = jax.device_put(loaded.parts)
    return Explainer(explain[map](), method, variables, source.cache, recipe.data.masks, min(BATCH, recipe.train.batch))


def _some(samples: Samples) -> Samples:
    """Samples from first to last, at equal distances."""
    places = np.unique(np.linspace(0, len(samples.rows) - 1, COMPARED).round().astype(int))
    return Samples(samples.rows[places], {kind: rows[places] for kind, rows in samples.partners.items()})


def _about(loaded: LoadedRun, source: Source, map: Map, on: Part) -> dict[str, Any]:
    """Of what the scores are."""
    return {
        "kind": "saliency",
        "map": map,
        "usual": map == _usual(loaded),
        "of": "the class found most probable",
        "unit": "subject",
        "target": loaded.recipe.data.label,
        "masks_by": source.store.info.masks_by,
        **of_whom(loaded.recipe, source, on),
    }


def _summary(scores: Scores) -> dict[str, Any]:
    """Means over subjects, and what they are means of."""
    means = {
        name: float(np.mean([row[name] for row in scores.subjects])) for name in ("dice", "energy", "pointing", "share")
    }
    counts = {"images": scores.images, "empty": scores.empty, "left_out": scores.left_out}
    return {"subjects": scores.subjects, **means, "n": len(scores.subjects), **counts}


def _in_words(result: dict[str, Any]) -> str:
    masks = f"predicted ({result['masks_by']})" if result["masks_by"] else "true"
    return (
        f"{result['map']} on {result['images']} images of {result['n']} {result['on']} subjects, {masks} masks: "
        f"Dice {result['dice']:.3f}, energy in the mask {result['energy']:.3f}, pointing game "
        f"{result['pointing']:.3f}; at random each is about {result['share']:.3f}, the mask's part of the image. "
        f"Empty maps, which score 0: {result['empty']}; images left out, without a mask or with an empty one: "
        f"{result['left_out']}."
    )


def _doubt(result: dict[str, Any]) -> str:
    """What speaks against the maps; nothing where they pass."""
    sanity = result["sanity"]
    if sanity["passed"] is None:
        return "Every map, or every map of random weights, is the same everywhere: whether they are sane is not known."
    if not sanity["passed"]:
        return (
            f"The maps are much like those of random weights (rank correlation {sanity['all']:.2f}, which should lie "
            f"below {sanity['limit']}): they may show the image more than what the network has learnt of it."
        )
    return ""
