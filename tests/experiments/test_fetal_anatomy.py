"""Study D: every point of every scale is one that the recipes take, and a cut of it runs from its data to its page."""

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from points import recipe_of, stages_of

import jaxssl
from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.sweep import load_study

STUDY = Path(__file__).parents[2] / "experiments" / "fetal_anatomy.py"
CUT = ("scratch/brain-planes/*", "awcl-own-scan/cross-domain/*")
STORES = {"store": Path("stores/fetal_planes"), "heads": Path("stores/hc18"), "hearts": Path("stores/camus")}
GIVEN = {"smoke": {}, "small": {}, "paper": STORES}
TASKS = ("planes", "brain-planes", "segmentation", "cross-domain")


def points_of(scale="smoke", **given):
    return load_study(STUDY).points({"scale": scale, **GIVEN[scale], **given})


def pretrainings(points) -> dict:
    """By the name of the arm."""
    starts = {point.name.split("/")[0]: point.stages[0].options.get("init.run") for point in points}
    return {arm: recipe_of(start) for arm, start in starts.items() if start}


@pytest.mark.parametrize("on", ["validation", "test"])
@pytest.mark.parametrize(("scale", "ratios", "seeds"), [("smoke", 1, 1), ("small", 5, 3), ("paper", 5, 3)])
def test_the_points_are_the_design_and_share_their_pretraining(scale, ratios, seeds, on):
    points = points_of(scale, on=on)
    arms = 2 + 2 * ratios + 3
    assert len(points) == arms * len(TASKS) * seeds
    made = {} if scale == "paper" else {"phantom": 3}
    asked = {"evaluate": len(points)} if on == "test" else {}
    verbs = Counter(stage.verb for stage in stages_of(points))
    assert verbs == {**made, "split": 3, "pretrain": arms - 1, "finetune": len(points), **asked}


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_recipes_take_every_override_of_every_scale_and_no_two_are_the_same(scale):
    trainings = [stage for stage in stages_of(points_of(scale)) if stage.verb in ("pretrain", "finetune")]
    recipes = [recipe_of(stage) for stage in trainings]
    for recipe in recipes:
        config.check(recipe)
    assert len({json.dumps(config.to_dict(recipe)) for recipe in recipes}) == len(trainings)


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_pretrainings_differ_in_what_is_asked_and_in_nothing_else(scale):
    found = pretrainings(points_of(scale))
    simclr = found.pop("simclr")
    for name, recipe in found.items():
        # Whose ratio is 0 is SimCLR: tests/methods.
        own = {key: value for key, value in asdict(recipe.method).items() if key in asdict(simclr.method)}
        assert own == asdict(simclr.method)
        assert recipe.data.label is not None
        plan = "by_subject" if name.endswith(("scan", "scans")) else "slices"
        labels = {"label": recipe.data.label, "label_groups": recipe.data.label_groups}
        assert recipe.data == replace(simclr.data, **labels, plan=plan)
        assert replace(recipe, name="", method=None, data=None) == replace(simclr, name="", method=None, data=None)
    asked = {(r.data.label_groups, r.method.ratio, r.method.positives, r.data.plan) for r in found.values()}
    assert len(asked) == len(found)
    assert {r.method.positives for r in found.values()} == {"all", "own_subject", "other_subjects"}
    assert {r.method.temperature for r in (simclr, *found.values())} == {0.5}


def test_the_paper_has_the_numbers_of_the_study_and_the_names_of_the_public_sets():
    points = points_of("paper")
    found = pretrainings(points)
    labelled = [r for r in found.values() if r.data.label]
    ratios = {(len(r.data.label_groups), r.method.ratio) for r in labelled if r.data.plan == "slices"}
    assert ratios == {(groups, ratio) for groups in (0, 1) for ratio in (0.1, 0.3, 0.5, 0.8, 1.0)}
    assert {r.data.label for r in labelled} == {"fine_plane"}
    assert {(r.train.batch, r.train.epochs, r.data.layout.size) for r in found.values()} == {(32, 10, (227, 227))}
    assert {r.data.views for r in found.values()} == {("abdomen", "brain", "cervix", "femur", "other", "thorax")}
    tuned = [recipe_of(p.stages[0]) for p in points if p.name.startswith("simclr/") and p.name.endswith("seed-2")]
    assert [(r.data.label, r.data.views[-1], r.data.moments, Path(r.data.store).name) for r in tuned] == [
        ("plane", "thorax", (), "fetal_planes"),
        ("brain_plane", "brain", (), "fetal_planes"),
        (None, "head", (), "hc18"),
        (None, "4ch", ("ED", "ES"), "camus"),
    ]
    assert {(r.data.subjects, r.data.subset_seed, r.train.seed) for r in tuned} == {(None, 2, 2)}
    assert len({r.init.run for r in tuned}) == 1


def test_a_task_without_its_store_has_no_points():
    points = points_of("paper", hearts=None, heads=None)
    assert {point.name.split("/")[1] for point in points} == {"planes", "brain-planes"}


def test_data_that_cannot_be_had_are_refused(tmp_path):
    with pytest.raises(UserError, match="give --store"):
        points_of("paper", store=None, heads=None, hearts=None)
    with pytest.raises(UserError, match="beside --store"):
        points_of(heads=tmp_path)
    with pytest.raises(UserError, match="give --store as well"):
        points_of(split=tmp_path)


def test_a_cut_of_the_study_runs_to_its_page_and_is_asked_on_the_test_without_new_training(tmp_path, capsys):
    first = jaxssl.ablate(STUDY, tmp_path, points=CUT)
    assert list(first.values()) == ["finished"] * 2
    runs = {path.name: (path / "run.json").stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(runs) == 3
    assert not list(tmp_path.glob("runs/*/evaluation.json"))
    jaxssl.ablate(STUDY, tmp_path, points=CUT, on="test")
    jaxssl.ablate(STUDY, tmp_path, points=CUT, on="test", list=True)
    assert {path.name: (path / "run.json").stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()} == runs
    (planes,) = tmp_path.glob("runs/scratch-brain-planes-seed-0-*/evaluation.json")
    assert config.read_json(planes)["classes"] == ["transcerebellar", "transthalamic", "transventricular"]
    (hearts,) = tmp_path.glob("runs/awcl-own-scan-cross-domain-seed-0-*/evaluation.json")
    assert config.read_json(hearts)["classes"] == ["RV", "MYO", "LV"]
    said = capsys.readouterr()
    assert said.out.count("AUROC") == 1
    assert said.out.count("Dice") == 1
    page = (tmp_path / "report.html").read_text()
    assert "awcl-own-scan-cross-domain-seed-0" in page
    assert "synthetic" in page
