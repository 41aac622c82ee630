"""Study A: every point of every scale is one that the recipes take, and a cut of it runs from its data to its page."""

import json
from collections import Counter
from pathlib import Path

import pytest
from points import recipe_of, stages_of

import jaxssl
from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.sweep import Stage, load_study

STUDY = Path(__file__).parents[2] / "experiments" / "anatomy_prior.py"
CUT = ("random/full/linear/group/*", "random/box/linear/group/*")
WEIGHTS = Path("densenet121.safetensors")


@pytest.fixture(scope="module")
def hearts(tmp_path_factory) -> Path:
    """A store with two of each group."""
    return jaxssl.data_phantom(tmp_path_factory.mktemp("data") / "hearts", jaxssl.CineOptions(10, phases=2, slices=4))


def points_of(**given):
    return load_study(STUDY).points(given)


@pytest.mark.parametrize("on", ["validation", "test"])
@pytest.mark.parametrize(("scale", "weights"), [("small", None), ("paper", WEIGHTS)])
def test_the_points_are_the_design_and_share_their_pretraining(scale, weights, on, hearts):
    points = points_of(scale=scale, store=hearts, on=on, weights=weights)
    starts = 1 + 3 * 3 + (weights is not None)
    classifiers = starts * 4 * 2 * 2 * 3
    assert len(points) == 1 + classifiers
    asked = {"evaluate": len(points)} if on == "test" else {}
    assert Counter(stage.verb for stage in stages_of(points)) == {
        "lvef": 1,
        "split": 1,
        "segment": 1,
        "pretrain": 9,
        "finetune": len(points),
        "saliency": classifiers // 2,
        **asked,
    }


def test_smoke_is_a_part_of_the_design_that_meets_every_arm(hearts):
    points = points_of(weights=WEIGHTS)
    assert len(points) <= 30
    everything = {point.name for point in points_of(scale="small", weights=WEIGHTS)}
    assert {point.name for point in points} <= everything
    cells = [point.name.split("/") for point in points if not point.name.startswith("segmenter")]
    starts, shown, ways, targets, _ = map(set, zip(*cells, strict=True))
    methods = {start.partition("-")[0] for start in starts}
    assert methods == {"random", "imported", "simclr", "moco", "byol"}
    assert {"simclr-full", "simclr-heart", "simclr-swapped"} < starts
    assert shown == {"full", "heart", "swapped", "box"}
    assert (ways, targets) == ({"linear", "finetuned"}, {"group", "lvef"})
    # What is compared with a random start has one like it.
    assert all(["random", *cell[1:]] in cells for cell in cells)


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_recipes_take_every_override_of_every_scale_and_no_two_are_the_same(scale, hearts):
    points = points_of(scale=scale, store=hearts, on="test", weights=WEIGHTS)
    trainings = [stage for stage in stages_of(points) if stage.verb in ("pretrain", "finetune")]
    recipes = [recipe_of(stage) for stage in trainings]
    assert len({json.dumps(config.to_dict(recipe)) for recipe in recipes}) == len(trainings)
    # Seeds change nothing that could be refused.
    for recipe in (recipe for recipe in recipes if recipe.train.seed == 0):
        config.check(recipe)


def test_the_paper_has_the_numbers_of_the_study(hearts):
    points = {point.name: point.stages[0] for point in points_of(scale="paper", store=hearts, weights=WEIGHTS)}
    tuned = recipe_of(points["byol-heart/swapped/finetuned/group/seed-2"])
    assert (tuned.train.batch, tuned.train.epochs, tuned.train.seed, tuned.optim.lr) == (256, 200, 2, 1e-4)
    assert (tuned.optim.name, tuned.optim.weight_decay, tuned.method.class_weights) == ("adamw", 1e-4, True)
    assert (tuned.data.layout.size, tuned.data.layout.spacing, tuned.data.plan) == ((224, 224), 1.5, "ed_es")
    assert (tuned.method.input, tuned.data.partners, tuned.method.freeze_encoder) == ("swapped", ("subject",), False)
    assert recipe_of(points["imported/full/linear/lvef/seed-0"]).init.weights.endswith(WEIGHTS.name)
    assert recipe_of(points["imported/full/linear/lvef/seed-0"]).method.freeze_encoder
    pretrained = {stage.name: recipe_of(stage) for stage in stages_of_verb(hearts, "pretrain")}
    simclr = next(recipe for name, recipe in pretrained.items() if name.startswith("simclr-shown-heart"))
    assert tuned.init.run.startswith("byol-shown-heart")
    assert (simclr.method.temperature, simclr.method.projector) == (0.1, (2048, 128))
    assert simclr.model.representation == (2048,)
    assert (simclr.method.input, simclr.data.moments, simclr.init.weights) == ("heart", ("ED", "ES"), None)
    assert not any(recipe.method.input == "box" for recipe in pretrained.values())


def stages_of_verb(hearts, verb):
    return [stage for stage in stages_of(points_of(scale="paper", store=hearts)) if stage.verb == verb]


def test_where_the_heart_is_a_network_says_that_was_trained_on_the_training_subjects(hearts):
    stages = stages_of(points_of(scale="paper", store=hearts, on="test"))
    (found,) = (stage for stage in stages if stage.verb == "segment")
    segmenter = found.of
    assert isinstance(segmenter, Stage)
    assert segmenter.options["data.store"] == hearts
    trained = [stage for stage in stages if stage.verb in ("pretrain", "finetune") and stage is not segmenter]
    assert {stage.options["data.store"].key for stage in trained} == {found.key}
    splits = {stage.options["data.split"].stage.key for stage in [segmenter, *trained]}
    assert len(splits) == 1


def test_who_is_asked_changes_no_training(hearts):
    before, after = (
        {stage.name for stage in stages_of(points_of(store=hearts, on=on)) if stage.verb != "saliency"}
        for on in ("validation", "test")
    )
    assert before < after


def test_a_label_that_the_store_has_is_not_made_and_one_that_is_not_there_is_refused(hearts, tmp_path):
    assert "lvef" not in {stage.verb for stage in stages_of(points_of(store=hearts, targets=("group",)))}
    labelled = jaxssl.data_lvef(hearts, tmp_path / "labelled")
    assert "lvef" not in {stage.verb for stage in stages_of(points_of(store=labelled))}
    for scale, wrong, known in (("small", "pathology", "group, vendor, lvef"), ("smoke", "vendor", "group, lvef")):
        for targets in ((wrong,), ("group", wrong)):
            with pytest.raises(UserError, match=f"asked of '{wrong}' at this scale, .* are {known};"):
                points_of(scale=scale, store=hearts, targets=targets)
    assert any("/vendor/" in point.name for point in points_of(scale="small", store=hearts, targets=("vendor",)))
    with pytest.raises(UserError, match="give --store"):
        points_of(scale="paper")


def test_a_cut_of_the_study_runs_to_its_page_and_is_asked_on_the_test_without_new_training(hearts, tmp_path, capsys):
    given = {"store": hearts, "points": CUT}
    first = jaxssl.ablate(STUDY, tmp_path, **given)
    assert list(first.values()) == ["finished"] * 2
    runs = {path.name: (path / "run.json").stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(runs) == 3
    assert not list(tmp_path.glob("runs/*/evaluation.json"))
    jaxssl.ablate(STUDY, tmp_path, on="test", **given)
    assert {path.name: (path / "run.json").stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()} == runs
    asked = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/evaluation.json")]
    assert [(each["target"], each["opening"]) for each in asked] == [("group", 1)] * 2
    looked = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/saliency*.json")]
    assert sorted(each["on"] for each in looked) == ["test", "validation"], "neither takes the other's place"
    assert all(each["masks_by"].startswith("segment:tiny on cine_phantom") for each in looked)
    assert "AUROC" in capsys.readouterr().err
    page = (tmp_path / "report.html").read_text()
    for words in ("Shortcut score", "heart boxed out", "frozen (linear)", "Where classifiers look", "synthetic"):
        assert words in page, words


@pytest.mark.slow
def test_what_was_exported_is_imported(hearts, tmp_path):
    jaxssl.pretrain("simclr:tiny@classify:tiny", tmp_path / "before", {"data.store": str(hearts), "train.steps": 2})
    weights = jaxssl.export(tmp_path / "before") / "model.safetensors"
    other = jaxssl.data_phantom(tmp_path / "others", jaxssl.CineOptions(10, phases=2, slices=4, seed=1))
    given = {"store": other, "points": ["imported/full/*/group/*"], "weights": weights, "on": "test"}
    said = jaxssl.ablate(STUDY, tmp_path / "sweep", **given)
    assert list(said.values()) == ["finished"] * 2
