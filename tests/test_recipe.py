"""The command that a run is repeated by."""

import shlex

import pytest

from jaxssl import cli, config, recipe
from jaxssl.errors import UserError


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optim.lr": 0.25, "train.batch": 16},
        {"optim.nesterov": True, "data.masks": False, "optim.clip_norm": 1.0},
        {"data.views": ("sax", "2ch"), "data.moments": (), "init.run": "runs/with space"},
        {"data.layout.spacing": None, "method.augment.scale": (0.5, 2.0)},
    ],
)
def test_the_command_of_a_run_gives_its_recipe(changes, tmp_path, monkeypatch):
    asked = recipe.load_recipe("segment:tiny", changes)
    words = shlex.split(recipe.command("finetune", asked, tmp_path))
    assert words[:3] == ["jaxssl", "finetune", "segment:tiny"]
    got = []
    monkeypatch.setattr("jaxssl.run.finetune", lambda recipe, workdir, on: got.append((recipe, workdir, on)))
    assert cli.main(words[1:]) == 0
    assert got == [(asked, tmp_path, "test")]


def test_a_recipe_on_the_network_of_another_keeps_the_rest_and_the_batches_it_normalises(tmp_path):
    own, lender = recipe.load_recipe("byol"), recipe.load_recipe("planes")
    lent = recipe.load_recipe("byol@planes")
    assert (lent.name, lent.method, lent.optim, lent.train) == ("byol@planes", own.method, own.optim, own.train)
    assert (lent.model.widths, lent.model.norm.group) == (lender.model.widths, own.model.norm.group)
    assert lender.model.norm.group != own.model.norm.group
    assert recipe.load_recipe("byol:tiny@mae:tiny").model == recipe.load_recipe("mae:tiny").model
    changed = recipe.load_recipe("planes:tiny@mae:tiny", {"model.decoder_widths": (4, 8), "optim.lr": 0.5})
    config.check(changed)
    words = shlex.split(recipe.command("pretrain", changed, tmp_path))
    assert words[2] == "planes:tiny@mae:tiny"
    assert "--model.decoder-widths" in words
    assert "--model.width" not in words


def test_a_folder_may_have_the_letter_of_networks_in_its_name(tmp_path):
    folder = tmp_path / "a@b"
    folder.mkdir()
    own = "from jaxssl.recipe import load_recipe\nget_config = lambda: load_recipe('mim:tiny')"
    (folder / "own.py").write_text(own)
    assert recipe.load_recipe(f"{folder}/own.py").name == "mim:tiny"
    assert recipe.load_recipe(f"{folder}/own.py@mae:tiny").name == "mim:tiny@mae:tiny"
    with pytest.raises(UserError, match="no recipe 'unknown'"):
        recipe.load_recipe("mim:tiny@unknown")


def test_a_recipe_that_no_flags_lead_to_has_no_command(tmp_path):
    asked = recipe.load_recipe("segment:vgg16", {"model.norm": None})
    assert recipe.command("finetune", asked, tmp_path) == ""
