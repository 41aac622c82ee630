"""Study C: every point of every scale is one that the recipes take, and a cut of it runs from its data to its page."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models.weights.published import resnet
from points import recipe_of, stages_of
from safetensors.numpy import save_file

import jaxssl
from jaxssl import config
from jaxssl.data.record import unplaced
from jaxssl.data.store import open_store, write
from jaxssl.errors import UserError
from jaxssl.sweep import Stage, load_study

STUDY = Path(__file__).parents[2] / "experiments" / "imaging_planes.py"
HEART, KNEE = 7, 7
"""Arms on the study's U-Net."""
VIT, RESNET, WIDTH = 3, 3, 2
"""Arms on other networks, of hearts as of knees."""


@pytest.fixture(scope="module")
def hearts(tmp_path_factory) -> Path:
    """A store with masks, groups and long axes."""
    return jaxssl.data_phantom(tmp_path_factory.mktemp("data") / "hearts", jaxssl.CineOptions(8, phases=2, slices=2))


@pytest.fixture(scope="module")
def knees(tmp_path_factory) -> Path:
    """A store with masks and groups."""
    return jaxssl.data_phantom(tmp_path_factory.mktemp("data") / "knees", jaxssl.KneeOptions(2, slices=2))


@pytest.fixture
def weights(tmp_path) -> Path:
    """A file that is there; what is in it is read by a run alone."""
    path = tmp_path / "resnet18.safetensors"
    path.touch()
    return path


def points_of(**given):
    return load_study(STUDY).points(given)


def trainings(points) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages_of(points) if stage.verb in ("pretrain", "finetune")}


@pytest.mark.parametrize("on", ["validation", "test"])
@pytest.mark.parametrize(
    ("scale", "segmented", "classified", "seeds", "widened", "widths"),
    [("smoke", 1, 1, 1, 1, 1), ("small", 3, 3, 3, 2, 2), ("paper", 5, 3, 3, 2, 2)],
)
def test_the_points_are_the_design_and_share_their_pretraining(
    scale, segmented, classified, seeds, widened, widths, on, hearts, knees, weights
):
    stores = {} if scale == "smoke" else {"hearts": hearts, "labelled": hearts, "knees": knees}
    given = {"scale": scale, "on": on, "weights": weights, **stores}
    points = points_of(**given)
    asked = (HEART + KNEE + 2 * (VIT + RESNET)) * (segmented + classified) + widened * widths * WIDTH
    assert len(points) == seeds * asked
    verbs = Counter(stage.verb for stage in stages_of(points))
    made = {"phantom": 3} if scale == "smoke" else {}
    judged = {"evaluate": len(points)} if on == "test" else {}
    # Each region once, whatever is learnt from it afterwards; nothing for scratch and of imported weights.
    pretrained = (HEART - 1) + (KNEE - 1) + 2 * (VIT - 1 + RESNET - 2) + widened * widths * (WIDTH - 1)
    assert verbs == {**made, "split": 2, "pretrain": pretrained, "finetune": len(points), **judged}
    assert [stage.name for stage in stages_of(points)] == [stage.name for stage in stages_of(points_of(**given))]


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_recipes_take_every_override_of_every_scale_and_no_two_are_the_same(scale, hearts, knees, weights):
    found = trainings(points_of(scale=scale, hearts=hearts, labelled=hearts, knees=knees, weights=weights))
    recipes = [recipe_of(stage) for stage in found.values()]
    for recipe in recipes:
        config.check(recipe)
    assert len({json.dumps(config.to_dict(recipe)) for recipe in recipes}) == len(found)


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_arms_that_are_compared_have_one_encoder_and_pretrainings_take_as_many_steps(scale, hearts, knees, weights):
    points = points_of(scale=scale, hearts=hearts, labelled=hearts, knees=knees, weights=weights)
    encoders, taken, batches = {}, set(), {}
    for point in points:
        network = point.name.split("/")[1]
        tuned = point.stages[0]
        for stage in (tuned, *(need for need in tuned.needs if need.verb == "pretrain")):
            recipe = recipe_of(stage)
            plain = config.to_dict(recipe.model)
            # What hangs on the batch or on what follows the encoder is no part of it.
            encoder = {name: value for name, value in plain.items() if name not in ("norm", "decoder_widths")}
            encoders.setdefault(network, set()).add(json.dumps(encoder))
            if stage.verb == "pretrain":
                taken.add(recipe.train.steps)
                batches[recipe.name] = recipe.train.batch
    assert {network: len(each) for network, each in encoders.items()} == dict.fromkeys(encoders, 1)
    usual = [each for name, each in encoders.items() if name.startswith(("heart", "knee"))]
    assert all(each == usual[0] for each in usual)
    assert len(taken) == 1
    assert None not in taken
    # Nobody sees fewer images than the pretexts that are asked about.
    assert min(batches.values()) == batches[next(name for name in batches if name.startswith("planes"))]


def test_what_is_learnt_before_tells_the_arms_apart(hearts, knees):
    found = {point.name: point.stages[0] for point in points_of(hearts=hearts, labelled=hearts, knees=knees)}

    def before(name):
        (stage,) = (need for need in found[name].needs if need.verb == "pretrain")
        return recipe_of(stage)

    asked = {
        arm: before(f"{arm}/heart-segmentation/4-labelled/seed-0").method for arm in ("orientation", "location", "both")
    }
    assert {arm: (bool(method.lines), bool(method.location)) for arm, method in asked.items()} == {
        "orientation": (True, False),
        "location": (False, True),
        "both": (True, True),
    }
    knee = before("both/knee-classification/all-labelled/seed-0")
    assert (knee.data.views, knee.data.guests, bool(knee.method.lines)) == (("sagittal",), ("coronal",), True)
    assert before("both/heart-segmentation/4-labelled/seed-0").data.guests == ("2ch", "4ch")
    assert not before("simclr/knee-classification/all-labelled/seed-0").data.guests
    names = {need.name.rpartition("-")[0] for stage in found.values() for need in stage.needs}
    assert {"orientation-heart", "both-heart", "location-knee", "both-vit-heart", "mae-vit-heart"} < names
    assert recipe_of(found["scratch/knee-classification/all-labelled/seed-0"]).data.plan == "slices"
    assert recipe_of(found["scratch/heart-classification/all-labelled/seed-0"]).data.plan == "ed_es"


def test_knees_that_do_not_say_how_they_lie_are_pretrained_by_location_or_on_others(knees, tmp_path):
    unplaced_knees = tmp_path / "unplaced"
    given = open_store(knees)
    lost = (replace(each, plane=unplaced(each.image.shape[:2], tuple(each.plane.spacing))) for each in given.records())
    write(lost, unplaced_knees, name="lost", description="Knees (synthetic).", licence="none")

    def begun(**given):
        found = {point.name.split("/")[0]: point.stages[0] for point in points_of(scale="small", **given)}
        starts = {arm: need for arm, stage in found.items() for need in stage.needs if need.verb == "pretrain"}
        return {arm: recipe_of(stage).data for arm, stage in starts.items()}

    alone = begun(knees=unplaced_knees)
    assert set(alone) == {"simclr", "byol", "mim", "mae", "location"}
    helped = begun(knees=unplaced_knees, unlabelled_knees=knees)
    assert set(helped) == {"simclr", "byol", "mim", "mae", "orientation", "location", "both"}
    assert {(data.store, data.fractions) for data in helped.values()} == {(str(knees), (1.0, 0.0, 0.0))}
    spacings = {
        recipe_of(stage).data.layout.spacing
        for name, stage in trainings(points_of(scale="paper", knees=unplaced_knees, unlabelled_knees=knees)).items()
    }
    assert spacings == {0.7}


def test_the_paper_has_the_numbers_of_the_study(hearts, knees, weights):
    points = points_of(scale="paper", hearts=hearts, labelled=hearts, knees=knees, finding="group", weights=weights)
    found = {point.name: point.stages[0] for point in points}
    few = recipe_of(found["both/heart-segmentation/4-labelled/seed-2"])
    assert (few.data.layout.spacing, few.train.batch, few.optim.lr, few.data.subjects) == (1.367, 10, 1e-3, 4)
    assert (few.data.subset_seed, few.train.seed) == (2, 2)
    assert few.init.parts == ("encoder", "decoder")
    # What MAE has for a decoder fills patches in, and fits no other.
    assert recipe_of(found["mae/vit-heart-segmentation/4-labelled/seed-0"]).init.parts == ("encoder",)
    begun = {
        name: recipe_of(stage)
        for name, stage in trainings(points).items()
        if stage.verb == "pretrain" and name.rpartition("-")[0] in ("both-heart", "simclr-heart", "both-vit-heart")
    }
    assert {recipe.model.widths for name, recipe in begun.items() if "vit" not in name} == {(64, 128, 256, 512, 1024)}
    assert {(recipe.train.epochs, recipe.train.steps) for recipe in begun.values()} == {(None, 28_500)}
    batches = {name.rpartition("-")[0]: recipe.train.batch for name, recipe in begun.items()}
    assert batches == {"both-heart": 20, "both-vit-heart": 20, "simclr-heart": 224}
    assert {(recipe.data.layout.size, recipe.data.layout.spacing) for recipe in begun.values()} == {((224, 224), 1.26)}
    imported = recipe_of(found["imported/resnet18-heart-segmentation/4-labelled/seed-0"])
    assert imported.init.weights == str(weights)
    assert imported.model == recipe_of(found["scratch/resnet18-heart-segmentation/4-labelled/seed-0"]).model


def test_regions_and_tasks_are_those_that_there_are_data_for(hearts, knees, tmp_path):
    def asked(**given):
        return {point.name.split("/")[1] for point in points_of(**given)}

    assert {name.split("-")[-2] for name in asked(hearts=hearts, labelled=hearts)} == {"heart"}
    assert {name.split("-")[-2] for name in asked(scale="small", knees=knees)} == {"knee"}
    assert not any("imported" in point.name for point in points_of())
    for given, sentence in (
        ({"scale": "paper"}, "give --hearts and --labelled"),
        ({"hearts": hearts}, "give both"),
        ({"knees": knees, "finding": "acl"}, "no label 'acl'"),
        ({"heart_split": tmp_path}, "give these as well"),
        ({"unlabelled_knees": knees}, "give these as well"),
        ({"weights": tmp_path / "none"}, "no file"),
    ):
        with pytest.raises(UserError, match=sentence):
            points_of(**given)


def test_a_cut_of_the_study_runs_to_its_page_and_no_test_subject_was_seen_before(hearts, tmp_path, capsys):
    other = jaxssl.data_phantom(tmp_path / "others", jaxssl.CineOptions(4, phases=2, slices=2, seed=1))
    given = {"points": ["both/heart-seg*", "scratch/heart-seg*"], "hearts": other, "labelled": hearts}
    first = jaxssl.ablate(STUDY, tmp_path / "sweep", **given)
    assert set(first.values()) == {"finished"}
    assert len(first) == 2
    jaxssl.ablate(STUDY, tmp_path / "sweep", **given, list=True)
    assert capsys.readouterr().out.count("Dice") == 2
    page = (tmp_path / "sweep" / "report.html").read_text()
    for name in ("scratch-heart-segmentation", "both-heart-segmentation", "planes (run both-heart-", "synthetic"):
        assert name in page
    (pretrained,) = (tmp_path / "sweep" / "runs").glob("both-heart-[0-9a-f]*")
    own = {"data.store": str(other), "data.fractions": (0.5, 0.25, 0.25), "init.run": str(pretrained)}
    with pytest.raises(UserError, match="1 test subjects were already seen"):
        jaxssl.finetune("segment:tiny", tmp_path / "leak", own)


@pytest.mark.slow
def test_a_resnet_in_the_names_of_torchvision_is_imported_into_both_tasks(hearts, knees, tmp_path):
    rng = np.random.default_rng(0)
    shapes = resnet((2, 2, 2, 2), bottleneck=False)
    file = tmp_path / "resnet18.safetensors"
    save_file(
        {name: np.asarray(0.1 * np.abs(rng.normal(size=shape)), np.float32) for name, shape in shapes.items()}, file
    )
    points = ["imported/*heart-segmentation*", "imported/*heart-classification*"]
    other = jaxssl.data_phantom(tmp_path / "others", jaxssl.CineOptions(4, phases=2, slices=2, seed=1))
    labelled = jaxssl.data_phantom(tmp_path / "labelled", jaxssl.CineOptions(20, phases=2, slices=2))
    said = jaxssl.ablate(
        STUDY, tmp_path / "sweep", points=points, hearts=other, labelled=labelled, weights=file, on="test"
    )
    assert list(said.values()) == ["finished"] * 2
    for run in (tmp_path / "sweep" / "runs").iterdir():
        assert (run / "evaluation.json").exists()
        fates = [line["fate"] for line in json.loads((run / "weights.json").read_text())["tensors"]]
        assert (fates.count("used"), fates.count("adapted")) == (99, 1)
