"""The head to head: all arms have the same images, encoder and fine-tuning, in two budgets; a cut runs to its page."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import jax
import pytest
from points import recipe_of, stages_of

import jaxssl
from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.reporting.cost import cost
from jaxssl.reporting.read import read_runs
from jaxssl.sweep import Stage, load_study

STUDY = Path(__file__).parents[2] / "experiments" / "head_to_head.py"
METHODS = ("simclr", "pcl", "awcl", "byol", "moco", "dino", "mim", "mae", "planes")
SCALES = [("smoke", 2, 1), ("small", 3, 3), ("paper", 4, 3)]
SECONDS = {"simclr": 1.0, "mae": 1.0, "dino": 2.9, "planes": 0.6}
"""What a step is said to take; of the others .4."""
FINISHED = {"status": "finished", "device": "some chip", "devices": 1, "jax": "9.8"}


@pytest.fixture(scope="module")
def hearts(tmp_path_factory) -> Path:
    return jaxssl.data_phantom(tmp_path_factory.mktemp("data") / "hearts", jaxssl.CineOptions(6, phases=2, slices=2))


def points_of(**given):
    return load_study(STUDY).points(given)


def trainings_of(points, *verbs: str) -> dict[str, Stage]:
    return {stage.label: stage for stage in stages_of(points) if stage.verb in verbs}


def pretend_finished(root: Path, points) -> None:
    """Folders as pretrainings leave them, with what they say of their time."""
    for stage in trainings_of(points, "pretrain").values():
        folder, method = stage.folder(root), stage.of.partition(":")[0].partition("@")[0]
        folder.mkdir(parents=True)
        recipe = recipe_of(stage)
        config.save(recipe, folder / "recipe.json")
        config.write_json(FINISHED, folder / "run.json")
        speed = recipe.train.batch / SECONDS.get(method, 0.4)
        # The first entry compiles; one was disturbed.
        lines = [{"step": step, "images_per_second": v} for step, v in enumerate((0.1, speed, speed, speed / 9), 1)]
        (folder / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("network", ["vit", "unet"])
@pytest.mark.parametrize(("scale", "subsets", "seeds"), SCALES)
def test_the_points_are_the_design_and_share_their_pretraining(scale, subsets, seeds, network, hearts):
    methods = len(METHODS) - (network == "unet")
    points = points_of(scale=scale, store=hearts, network=network, on="test")
    assert len(points) == (1 + methods) * subsets * seeds
    verbs = Counter(stage.verb for stage in stages_of(points))
    assert verbs == {"split": 1, "pretrain": methods, "finetune": len(points), "evaluate": len(points)}
    again = points_of(scale=scale, store=hearts, network=network)
    assert {stage.name for stage in stages_of(again)} < {stage.name for stage in stages_of(points)}


@pytest.mark.parametrize("network", ["vit", "unet"])
@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_images_encoder_and_fine_tuning_are_the_same(scale, network, hearts):
    points = points_of(scale=scale, store=hearts, network=network)
    begun, tuned = (
        {name: recipe_of(stage) for name, stage in trainings_of(points, verb).items()}
        for verb in ("pretrain", "finetune")
    )
    for recipe in (*begun.values(), *tuned.values()):
        config.check(recipe)
    everything = [*begun.values(), *tuned.values()]
    assert len({json.dumps(config.to_dict(recipe)) for recipe in everything}) == len(everything)
    assert len({recipe.train.steps * recipe.train.batch for recipe in begun.values()}) == 1
    assert len({recipe.model for recipe in everything}) == 1
    asked = [(r.data.store, r.data.split, r.data.layout, r.data.views, r.data.moments) for r in begun.values()]
    assert len(set(asked)) == 1
    assert len({(recipe.method, recipe.optim, recipe.train.batch) for recipe in tuned.values()}) == 1
    assert {recipe.init.parts for recipe in tuned.values() if recipe.init.run} == {("encoder",)}
    if network == "vit":
        of_all = {(r.optim.name, r.optim.lr, r.optim.schedule, r.optim.weight_decay) for r in begun.values()}
        assert len(of_all) == 1


def test_methods_get_what_the_data_have(hearts):
    begun = {name: recipe_of(stage) for name, stage in trainings_of(points_of(store=hearts), "pretrain").items()}
    assert begun["equal-images planes"].data.guests == ("2ch", "4ch")
    assert begun["equal-images awcl"].data.label == "group"
    without = trainings_of(points_of(store=hearts, guests=("3D",), label="plane"), "pretrain")
    assert "equal-images awcl" not in without
    assert recipe_of(without["equal-images planes"]).method.lines == 0


def test_equal_time_gives_each_method_the_time_of_the_reference(hearts, tmp_path):
    given = {"scale": "small", "store": hearts}
    equal = points_of(**given)
    with pytest.raises(UserError, match="holds no finished training of simclr, pcl"):
        points_of(**given, rates=tmp_path)
    pretend_finished(tmp_path, equal)
    points = points_of(**given, rates=tmp_path)
    # What has been done stays what it is, and scratch is one for both tables.
    assert {stage.name for stage in stages_of(equal)} < {stage.name for stage in stages_of(points)}
    steps = {name: recipe_of(stage).train.steps for name, stage in trainings_of(points, "pretrain").items()}
    assert steps["equal-images simclr"] == 4000
    assert steps["equal-images planes"] == 8000
    for method in METHODS:
        # Whoever is as fast as the reference stands in both tables, and is not trained twice.
        name = f"equal-{'images' if method in ('simclr', 'mae') else 'time'} {method}"
        assert steps[name] == round(4000 / SECONDS.get(method, 0.4))
        (other,) = {point.tables for point in points if point.name.startswith(f"{name.replace(' ', '/')}/")}
        assert any("Equal accelerator time" in caption for caption in other)
    assert len(steps) == 2 * len(METHODS) - 2
    trainings = trainings_of(points, "pretrain", "finetune").values()
    assert len({json.dumps(config.to_dict(recipe_of(stage))) for stage in trainings}) == len(trainings)


def test_rates_are_read_once(hearts, tmp_path):
    equal = points_of(store=hearts)
    pretend_finished(tmp_path, equal)
    before = [stage.name for stage in stages_of(points_of(store=hearts, rates=tmp_path))]
    shutil.rmtree(tmp_path / "runs")
    assert [stage.name for stage in stages_of(points_of(store=hearts, rates=tmp_path))] == before
    with pytest.raises(UserError, match="no finished training"):
        points_of(store=hearts, rates=tmp_path, network="unet")


def test_times_of_other_hardware_and_logs_that_tell_none_are_refused(hearts, tmp_path):
    equal = points_of(store=hearts, methods=("simclr", "mim"))
    pretend_finished(tmp_path, equal)
    mim = trainings_of(equal, "pretrain")["equal-images mim"].folder(tmp_path)
    given = {"store": hearts, "methods": ("simclr", "mim"), "rates": tmp_path}
    for other in ({"device": "some gpu", "devices": 2}, {"jax": "9.9"}):
        config.write_json({**FINISHED, **other}, mim / "run.json")
        with pytest.raises(UserError, match=r"ran on 1 x some chip with jax 9\.8 and on "):
            points_of(**given)
    config.write_json(FINISHED, mim / "run.json")
    (mim / "timing.jsonl").write_text('{"step": 4, "images_per_second": 10.0}\n')
    with pytest.raises(UserError, match="The log of mim in "):
        points_of(**given)
    with pytest.raises(UserError, match="--reference dino is not among"):
        points_of(**given, reference="dino")


def test_steps_that_were_counted_elsewhere_are_listed_and_not_taken(hearts, tmp_path):
    given = {"store": hearts, "methods": ("simclr", "mim")}
    pretend_finished(tmp_path, points_of(**given))
    here = f"{len(jax.devices())} x cpu ({os.cpu_count()} cores) with jax {jax.__version__}"
    asked = {**given, "rates": tmp_path, "points": ("equal-time/*",)}
    assert jaxssl.ablate(STUDY, tmp_path, **asked, list=True) == {"equal-time/mim/2-labelled/seed-0": "to do"}
    with pytest.raises(UserError) as refused:
        jaxssl.ablate(STUDY, tmp_path, **asked)
    assert f"counted by rates of 1 x some chip with jax 9.8, and this is {here}, where" in str(refused.value)
    assert not (tmp_path / "stages").exists()


def test_data_that_cannot_be_had_are_refused():
    with pytest.raises(UserError, match="give --store"):
        points_of(scale="paper")


def test_a_cut_runs_to_a_page_with_both_tables(tmp_path):
    asked = {"methods": ("simclr", "mae")}
    first = jaxssl.ablate(STUDY, tmp_path, points=("scratch/2*", "*/mae/2*", "*/simclr/2*"), **asked)
    assert set(first.values()) == {"finished"}
    assert len(first) == 3
    jaxssl.ablate(STUDY, tmp_path, points=("scratch/2*", "equal-*/2-*"), rates=tmp_path, **asked)
    (kept,) = tmp_path.glob("rates-*.json")
    seconds = {name: own["step_seconds"] for name, own in config.read_json(kept)["trainings"].items()}
    trained = [path for path in (tmp_path / "runs").glob("equal-*-mae-*") if "labelled" not in path.name]
    # Where equal time is as many steps as equal images, one training stands for both.
    (timed,) = [path for path in trained if path.name.startswith("equal-time")] or trained
    (run,) = read_runs([timed])
    assert cost(run).steps == max(1, round(8 * seconds["simclr"] / seconds["mae"]))
    page = (tmp_path / "report.html").read_text()
    for words in ("Equal images seen: 64 drawn", "Equal accelerator time: that which simclr takes", "synthetic"):
        assert words in page, words
