"""The head to head: all arms have the same images, encoder and fine-tuning, in two budgets; a cut runs to its page."""

import json
from collections import Counter
from dataclasses import replace
from html import unescape
from pathlib import Path

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
SCALES = [("smoke", 2, 1, 1), ("small", 3, 3, 3), ("paper", 4, 4, 3)]


@pytest.fixture(scope="module")
def hearts(tmp_path_factory) -> Path:
    return jaxssl.data_phantom(tmp_path_factory.mktemp("data") / "hearts", jaxssl.CineOptions(6, phases=2, slices=2))


def points_of(**given):
    return load_study(STUDY).points(given)


def trainings_of(points, *verbs: str) -> dict[str, Stage]:
    return {stage.label: stage for stage in stages_of(points) if stage.verb in verbs}


@pytest.mark.parametrize("network", ["vit", "unet"])
@pytest.mark.parametrize(("scale", "subsets", "timed", "seeds"), SCALES)
def test_the_points_are_the_design_and_share_their_pretraining(scale, subsets, timed, seeds, network, hearts):
    methods = len(METHODS) - (network == "unet")
    points = points_of(scale=scale, store=hearts, network=network, on="test")
    assert len(points) == ((1 + methods) * subsets + (methods - 1) * timed) * seeds
    verbs = Counter(stage.verb for stage in stages_of(points))
    assert verbs == {"split": 1, "pretrain": 2 * methods - 1, "finetune": len(points), "evaluate": len(points)}
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
    of_images = {name: recipe for name, recipe in begun.items() if name.startswith("equal-images")}
    assert len({recipe.train.steps * recipe.train.batch for recipe in of_images.values()}) == 1
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


def test_equal_time_is_that_of_the_reference_which_stands_in_both_tables(hearts):
    points = points_of(scale="small", store=hearts)
    starts = trainings_of(points, "pretrain")
    reference = starts["equal-images simclr"]
    for method in METHODS[1:]:
        own, in_time = starts[f"equal-images {method}"], starts[f"equal-time {method}"]
        asked = in_time.options["train.steps"]
        assert (asked.run, asked.reference) == (own, reference)
        assert replace(recipe_of(in_time).train, steps=0) == replace(recipe_of(own).train, steps=0)
    tables = {point.name.partition("/5-")[0]: [caption[:11] for caption in point.tables] for point in points}
    images, time = "Equal image", "Equal accel"
    assert (tables["equal-images/simclr"], tables["equal-images/mim"]) == ([images, time], [images])
    assert (tables["equal-time/mim"], tables["scratch"]) == ([time], [])
    other = trainings_of(points_of(store=hearts, methods=("mim", "dino")), "pretrain")
    assert set(other) == {"equal-images mim", "equal-images dino", "equal-time dino"}


def test_data_that_cannot_be_had_are_refused():
    for given, sentence in (
        ({"scale": "paper"}, "give --store"),
        ({"methods": ("simclr", "mim"), "reference": "dino"}, "--reference dino is not among .* simclr, mim"),
        ({"methods": ("mae",), "network": "unet"}, "None of --methods can be had"),
    ):
        with pytest.raises(UserError, match=sentence):
            points_of(**given)


def test_a_cut_runs_to_a_page_with_both_tables(tmp_path):
    asked = {"methods": ("simclr", "mae"), "points": ("scratch/2*", "equal-time/*", "*/simclr/2*")}
    states = jaxssl.ablate(STUDY, tmp_path, **asked)
    assert list(states.values()) == ["finished"] * 3
    folders = {
        name: stage.folder(tmp_path)
        for name, stage in trainings_of(points_of(methods=asked["methods"]), "pretrain").items()
    }
    reference, own, in_time = map(cost, read_runs([*folders.values()]))
    assert [*folders] == ["equal-images simclr", "equal-images mae", "equal-time mae"]
    assert in_time.steps == max(1, round(reference.seconds / own.step_seconds))
    page = (tmp_path / "report.html").read_text()
    for words in ("Equal images seen: 256 drawn", "Equal accelerator time: that which simclr takes", "synthetic"):
        assert words in page, words
    assert f"jaxssl ablate {STUDY} --workdir {tmp_path} --methods simclr mae --report" in unescape(page)
    # It stays as it was begun, and is not done again, also where that by which it was counted is made anew.
    (folders["equal-images mae"] / "timing.jsonl").write_text("")
    assert jaxssl.ablate(STUDY, tmp_path, **asked) == states
