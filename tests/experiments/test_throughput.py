"""Switches: those that change a result are fine-tuned from, all are timed, and equal time is the base's."""

import json
from pathlib import Path

import pytest
from points import recipe_of, stages_of

import jaxssl
from jaxssl import config
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
    in_time = {f"{name}/equal-time/seed-0" for name in QUALITY - {"base"}}
    speeds, tunings = ({f"{name}/speed" for name in timed}, {f"{name}/quality/seed-0" for name in tuned})
    assert set(points) - speeds - tunings == {"scratch/seed-0", *in_time}
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
    starts = [
        recipe
        for stage, recipe in zip(trainings, recipes, strict=True)
        if stage.verb == "pretrain" and not stage.label.startswith("equal-time")
    ]
    assert len({each.train.steps * each.train.batch for each in starts}) == 1


def test_equal_time_is_that_of_the_base(hearts):
    points = points_of(store=hearts)
    base = points["base/speed"].stages[0]
    assert len(points["base/quality/seed-0"].tables) == 2
    assert len(points["batch-8/quality/seed-0"].tables) == 1
    for name in QUALITY - {"base"}:
        point = points[f"{name}/equal-time/seed-0"]
        steps = point.stages[0].options["init.run"].options["train.steps"]
        assert (steps.run, steps.reference) == (points[f"{name}/speed"].stages[0], base)
        assert [caption[:10] for caption in point.tables] == ["Equal acce"]


def test_a_cut_runs_to_a_page_that_has_the_speed_and_the_largest_batch_in_equal_time(tmp_path):
    states = jaxssl.ablate(STUDY, tmp_path, points=("resident/speed", "batch-64/equal-time/*"))
    assert list(states.values()) == ["finished"] * 2
    (found,) = tmp_path.glob("runs/*/step.jsonl")
    said = json.loads(found.read_text())
    assert said["recipe"] == "simclr:tiny"
    page = (tmp_path / "report.html").read_text()
    assert 'id="speed-table"' in page
    assert f"{said['images_per_second']:.1f}" in page
