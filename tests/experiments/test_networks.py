"""Every network of every study takes the images that it is given, and its views, forward pass and loss fit together."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from points import recipe_of, stages_of

import jaxssl
from jaxssl import config
from jaxssl.bench.batch import abstract_batch
from jaxssl.methods.base import build, metadata
from jaxssl.sweep import load_study
from jaxssl.train.step import Schedule

FOLDER = Path(__file__).parents[2] / "experiments"
STUDIES = ("anatomy_prior", "cine_segmentation", "fetal_anatomy", "head_to_head", "imaging_planes", "throughput")


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    return {
        "hearts": jaxssl.data_phantom(folder / "hearts", jaxssl.CineOptions(6, phases=2, slices=2)),
        "knees": jaxssl.data_phantom(folder / "knees", jaxssl.KneeOptions(4, slices=2)),
    }


def keywords(study: str, stores: dict[str, Path]) -> dict[str, Path]:
    """Whatever data a study asks for."""
    hearts = stores["hearts"]
    return {
        "fetal_anatomy": {"store": hearts, "heads": hearts, "hearts": hearts},
        "cine_segmentation": {"store": hearts, "vendors": ("A",)},
        "imaging_planes": {"hearts": hearts, "labelled": hearts, "knees": stores["knees"], "finding": "group"},
    }.get(study, {"store": hearts})


def trace(recipe) -> None:
    """A step on a group of images, as far as shapes go."""
    spec = recipe.spec(classes=4, labels=3)
    method = build(recipe.method, recipe.model, replace(spec, label_counts=(1, 1, 1) if recipe.data.label else ()))
    size, progress = recipe.model.group, Schedule(10, 1).progress(jnp.int32(0))
    keys = jax.random.split(jax.random.key(0), size)

    def loss(batch):
        views = method.views(keys, batch, progress)
        params, carry = method.init(keys[0], views)
        seen = method.forward(params, carry, views, keys, progress)
        return method.objective(params, carry, seen, metadata(batch), progress)[0]

    assert jax.eval_shape(loss, abstract_batch(recipe.data, 1, size)).shape == ()


@pytest.mark.parametrize("scale", ["small", pytest.param("paper", marks=pytest.mark.slow)])
@pytest.mark.parametrize("study", STUDIES)
def test_every_network_takes_its_images(study, scale, stores):
    points = load_study(FOLDER / f"{study}.py").points({"scale": scale, **keywords(study, stores)})
    recipes = [recipe_of(stage) for stage in stages_of(points) if stage.verb in ("pretrain", "finetune")]
    kinds = {}
    for recipe in recipes:
        data, model = recipe.data, config.to_dict(recipe)["model"]
        told = [model, type(recipe.method).__module__, data.layout.size, data.kinds, data.masks]
        kinds.setdefault(json.dumps([*told, bool(data.label), len(data.guests)], default=str), recipe)
    for recipe in kinds.values():
        trace(recipe)
    assert len(kinds) > 1


@pytest.mark.parametrize("study", [*STUDIES, "ultrasound"])
def test_a_smoke_run_has_as_many_points_as_the_study_says(study):
    path = FOLDER / f"{study}.py"
    (said,) = re.findall(r"(\d+)\s+points", ast.get_docstring(ast.parse(path.read_text())) or "")
    assert len(load_study(path).points({"on": "test"})) == int(said)
