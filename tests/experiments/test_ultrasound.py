"""Ultrasound: every point of every scale is one that the recipes take, and a cut of it runs from data to page."""

import json
from collections import Counter
from pathlib import Path

import pytest
from points import recipe_of, stages_of

import jaxssl
from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.sweep import load_study

STUDY = Path(__file__).parents[2] / "experiments" / "ultrasound.py"
STORES = {name: Path("stores") / name for name in ("heads", "breast", "lung")}


def points_of(scale="smoke", **given):
    return load_study(STUDY).points({"scale": scale, **given})


@pytest.mark.parametrize("on", ["validation", "test"])
@pytest.mark.parametrize(("scale", "given", "seeds"), [("smoke", {}, 1), ("small", STORES, 3)])
def test_the_points_are_the_design_and_share_their_pretraining(scale, given, seeds, on):
    points = points_of(scale, on=on, **given)
    tasks = len(given) or 2
    assert len(points) == tasks * 2 * 3 * seeds
    made = {} if given else {"phantom": 1}
    # Two tasks of one phantom are asked of the same division of it.
    split = tasks if given else 1
    asked = {"evaluate": len(points)} if on == "test" else {}
    verbs = Counter(stage.verb for stage in stages_of(points))
    assert verbs == {**made, "split": split, "pretrain": 2 * tasks, "finetune": len(points), **asked}


@pytest.mark.parametrize(("scale", "given"), [("smoke", {}), ("small", STORES)])
def test_recipes_take_every_override_and_no_two_are_the_same(scale, given):
    trainings = [stage for stage in stages_of(points_of(scale, **given)) if stage.verb in ("pretrain", "finetune")]
    recipes = [recipe_of(stage) for stage in trainings]
    for recipe in recipes:
        config.check(recipe)
    assert len({json.dumps(config.to_dict(recipe)) for recipe in recipes}) == len(trainings)


def test_an_arm_sees_the_images_of_its_task_alone_and_as_many_as_the_other():
    points = points_of("small", **STORES)
    for name in STORES:
        tuned = [recipe_of(point.stages[0]) for point in points if point.name.startswith(f"{name}/")]
        starts = [
            p.stages[0].options["init.run"] for p in points if p.name.startswith((f"{name}/simclr", f"{name}/mim"))
        ]
        begun = [recipe_of(start) for start in starts]
        assert {recipe.train.batch * recipe.train.steps for recipe in begun} == {20_480}
        assert len({(r.data.store, r.data.views, r.data.layout) for r in (*tuned, *begun)}) == 1
        assert {recipe.data.label for recipe in begun} == {None}
        assert {recipe.data.label for recipe in tuned} == ({None} if name == "heads" else {"group"})
        assert {(r.data.subset_seed, r.train.seed) for r in tuned} == {(seed, seed) for seed in range(3)}


def test_a_scale_for_real_data_wants_a_store():
    with pytest.raises(UserError, match="give --heads, --breast or --lung"):
        points_of("small")


def test_a_cut_runs_to_a_page(tmp_path):
    cut = ("heads/mim/4-*", "brain-planes/simclr/2-*", "brain-planes/scratch/2-*")
    assert list(jaxssl.ablate(STUDY, tmp_path, points=cut).values()) == ["finished"] * 3
    page = (tmp_path / "report.html").read_text()
    assert "brain-planes-simclr-2-labelled-seed-0" in page
    assert "Dice" in page
    assert "AUROC" in page
