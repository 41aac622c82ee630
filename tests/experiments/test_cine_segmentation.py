"""Study B: every point of every scale is one that the recipes take, and a cut of it runs from its data to its page."""

import json
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest
from cases import batch_of
from points import recipe_of, stages_of

import jaxssl
from jaxssl import config
from jaxssl.data.splitfile import SplitFile
from jaxssl.data.splits import Split
from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.parts import standardised
from jaxssl.sweep import load_study

STUDY = Path(__file__).parents[2] / "experiments" / "cine_segmentation.py"
CUT = ("scratch/*", "mim/*")


@pytest.fixture(scope="module")
def hearts(tmp_path_factory) -> Path:
    """A store with two vendors."""
    return jaxssl.data_phantom(tmp_path_factory.mktemp("data") / "hearts", jaxssl.CineOptions(6, phases=2, slices=2))


def points_of(**given):
    return load_study(STUDY).points({"vendors": ("A",), **given})


@pytest.mark.parametrize("on", ["validation", "test"])
@pytest.mark.parametrize(("scale", "subsets", "seeds"), [("smoke", 1, 1), ("small", 3, 3), ("paper", 5, 3)])
def test_the_points_are_the_design_and_share_their_pretraining(scale, subsets, seeds, on, hearts):
    points = points_of(scale=scale, store=hearts, on=on)
    vendors = 4 if on == "test" else 0
    assert len(points) == 7 * seeds * (subsets + 3 + vendors)
    stages = stages_of(points)
    verbs = Counter(stage.verb for stage in stages)
    asked = {"evaluate": len(points)} if on == "test" else {}
    assert verbs == {"split": 1, "pretrain": 5, "finetune": len(points), **asked}
    assert [stage.name for stage in stages] == [
        stage.name for stage in stages_of(points_of(scale=scale, store=hearts, on=on))
    ]


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_recipes_take_every_override_of_every_scale_and_no_two_are_the_same(scale, hearts):
    trainings = [
        s for s in stages_of(points_of(scale=scale, store=hearts, on="test")) if s.verb in ("pretrain", "finetune")
    ]
    recipes = [recipe_of(stage) for stage in trainings]
    for recipe in recipes:
        config.check(recipe)
    assert len({json.dumps(config.to_dict(recipe)) for recipe in recipes}) == len(trainings)


def test_the_paper_has_the_numbers_of_the_study(hearts):
    points = {point.name: point.stages[0] for point in points_of(scale="paper", store=hearts)}
    few, scratch = points["mim/10-labelled/seed-2"], points["scratch/10-labelled/seed-2"]
    assert (recipe_of(scratch).optim.lr, recipe_of(few).optim.lr) == (0.01, 0.005)
    assert (recipe_of(few).train.epochs, recipe_of(few).train.batch, recipe_of(few).data.subjects) == (1000, 32, 10)
    assert (recipe_of(few).data.subset_seed, recipe_of(few).train.seed) == (2, 2)
    assert recipe_of(points["pcl/all-labelled/seed-0"]).data.subjects is None
    encoder = recipe_of(points["mim-encoder-only/10-labelled/seed-2"])
    assert encoder.init.parts == ("encoder",)
    assert encoder.init.run == recipe_of(few).init.run
    begun = {
        stage.name: recipe_of(stage)
        for stage in stages_of(points_of(scale="paper", store=hearts))
        if stage.verb == "pretrain"
    }
    assert {recipe.train.batch for name, recipe in begun.items() if "simclr" in name} == {224}
    assert {recipe.optim.clip_parameter for name, recipe in begun.items() if "dino" in name} == {3.0, None}
    subsets = {point.split("/")[1] for point in points if point.startswith("mim/")}
    assert subsets == {"10-labelled", "15-labelled", "25-labelled", "50-labelled", "all-labelled"}


def test_a_split_that_is_given_is_asked_of_the_labels_that_it_has(hearts, tmp_path):
    trained = tuple(f"s{n}" for n in range(10))
    SplitFile("hearts", "0" * 16, Split(trained, ("v",), ("t",))).write(tmp_path / "split.json")
    points = points_of(scale="paper", store=hearts, split=tmp_path)
    assert {recipe_of(point.stages[0]).data.subjects for point in points} == {None}
    points = points_of(scale="small", store=hearts, split=tmp_path)
    assert {recipe_of(point.stages[0]).data.subjects for point in points} == {5, None}


def test_without_augmentation_every_view_is_the_image(hearts):
    points = {point.name: point.stages[0] for point in points_of(store=hearts)}
    tuned, usual = (recipe_of(points[f"{name}/seed-0"]) for name in ("augmentation-off/scratch", "scratch/2-labelled"))
    batch = batch_of(tuned, size=2)
    keys = jax.random.split(jax.random.key(0), 2)
    image, _ = parts.view(keys, 0, batch, tuned.method.augment)
    np.testing.assert_allclose(image, standardised(batch), atol=1e-4)
    assert not np.allclose(parts.view(keys, 0, batch, usual.method.augment)[0], image, atol=0.1)


def test_who_is_asked_changes_no_training(hearts):
    before, after = (stages_of(points_of(store=hearts, on=on)) for on in ("validation", "test"))
    assert {stage.name for stage in before} < {stage.name for stage in after}


def test_data_that_cannot_be_had_are_refused(tmp_path):
    with pytest.raises(UserError, match="give --store"):
        points_of(scale="paper")
    with pytest.raises(UserError, match="give --store as well"):
        points_of(split=tmp_path)


def test_a_store_of_ones_own_is_asked_of_other_vendors_only_by_name(hearts):
    """What other sites call their vendors is not known here: a study of them must not be refused for that."""
    names = [point.name for point in points_of(store=hearts, on="test", vendors=())]
    assert names == [point.name for point in points_of(store=hearts)]
    with pytest.raises(UserError, match=r"--vendors Zebra leaves no shift between vendors, which of .* are A, B"):
        points_of(store=hearts, on="test", vendors=("Zebra",))


def test_a_cut_of_the_study_runs_to_its_page_and_is_asked_on_the_test_without_new_training(tmp_path, capsys):
    first = jaxssl.ablate(STUDY, tmp_path, points=CUT)
    assert set(first.values()) == {"finished"}
    assert len(first) == 2
    runs = {path.name: (path / "run.json").stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(runs) == 3
    assert not list(tmp_path.glob("runs/*/evaluation.json"))
    (tmp_path / "report.html").unlink()
    jaxssl.ablate(STUDY, tmp_path, points=CUT, on="test")
    jaxssl.ablate(STUDY, tmp_path, points=CUT, on="test", list=True)
    assert {path.name: (path / "run.json").stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()} == runs
    assert len(list(tmp_path.glob("runs/*/evaluation.json"))) == 2
    said = capsys.readouterr()
    assert said.out.count("Dice") == 2
    assert "against scratch" in said.err
    page = (tmp_path / "report.html").read_text()
    assert "mim-2-labelled-seed-0" in page
    assert "the study cine_segmentation: Which pretraining helps cine segmentation" in page
    assert "synthetic" in page
