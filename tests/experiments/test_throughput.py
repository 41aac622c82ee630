"""Switches: those that change a result are fine-tuned from, all are timed, and equal time is the base's."""

import json
from pathlib import Path

import pytest
from points import recipe_of, stages_of

import jaxssl
from jaxssl import config
from jaxssl.run.rates import Rates
from jaxssl.sweep import load_study

STUDY = Path(__file__).parents[2] / "experiments" / "throughput.py"
QUALITY = {"base", "batch-8", "batch-32", "batch-64", "precision-bfloat16"}
SPEED = {"remat", "micro-batches", "resident", "dispatch-2", "devices-1", "devices-2"}


@pytest.fixture(scope="module")
def hearts(tmp_path_factory) -> Path:
    return jaxssl.data_phantom(tmp_path_factory.mktemp("data") / "hearts", jaxssl.CineOptions(6, phases=2, slices=2))


def points_of(**given):
    return {point.name: point for point in load_study(STUDY).points(given)}


def test_the_points_are_the_design():
    points = points_of(devices=(1, 2))
    timed = {name.removesuffix("/speed") for name in points if name.endswith("/speed")}
    assert timed == QUALITY | SPEED
    tuned = {name.partition("/quality")[0] for name in points if "quality" in name}
    assert tuned == QUALITY
    assert set(points) - {f"{name}/speed" for name in timed} - {f"{name}/quality/seed-0" for name in tuned} == {
        "scratch/seed-0"
    }
    # What is fine-tuned from is what was timed.
    start = points["base/speed"].stages[0]
    assert points["base/quality/seed-0"].stages[0].options["init.run"] is start


@pytest.mark.parametrize(
    ("scale", "recipe"), [("smoke", None), ("small", None), ("paper", None), ("paper", "dino:vit")]
)
def test_recipes_take_every_override_and_see_as_many_images(scale, recipe, hearts):
    points = points_of(scale=scale, store=hearts, devices=(1, 8), recipe=recipe)
    trainings = [stage for stage in stages_of(points.values()) if stage.verb in ("pretrain", "finetune")]
    recipes = [recipe_of(stage) for stage in trainings]
    for each in recipes:
        config.check(each)
    assert len({json.dumps(config.to_dict(each)) for each in recipes}) == len(trainings)
    starts = [r for stage, r in zip(trainings, recipes, strict=True) if stage.verb == "pretrain"]
    assert len({each.train.steps * each.train.batch for each in starts}) == 1


def test_equal_time_is_that_of_the_base(hearts, monkeypatch):
    seconds = {"base": 0.2, "batch-8": 0.16, "batch-32": 0.3, "batch-64": 0.35, "precision-bfloat16": 0.15}
    study = load_study(STUDY)
    monkeypatch.setattr("jaxssl.run.rates.read_rates", lambda starts, root: Rates("here", seconds))
    points = {point.name: point for point in study.points({"store": hearts, "rates": Path("somewhere")})}
    steps = {
        name.partition("/")[0]: point.stages[0].options["init.run"].options["train.steps"]
        for name, point in points.items()
        if "equal-time" in name
    }
    assert len(points["base/quality/seed-0"].tables) == 2
    assert len(points["batch-8/quality/seed-0"].tables) == 1
    assert steps == {"batch-8": 5, "batch-32": 3, "batch-64": 2, "precision-bfloat16": 5}


def test_a_cut_runs_to_a_page_that_has_the_speed(tmp_path):
    assert jaxssl.ablate(STUDY, tmp_path, points=("resident/speed",)) == {"resident/speed": "finished"}
    (found,) = tmp_path.glob("runs/*/step.jsonl")
    said = json.loads(found.read_text())
    assert said["recipe"] == "simclr:tiny"
    page = (tmp_path / "report.html").read_text()
    assert 'id="speed-table"' in page
    assert f"{said['images_per_second']:.1f}" in page
