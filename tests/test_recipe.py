"""The command that a run is repeated by."""

import shlex

import pytest

from jaxssl import cli, recipe


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


def test_a_recipe_takes_the_network_of_another_and_its_command_says_so(tmp_path):
    joined = recipe.load_recipe("simclr:tiny@mae:tiny", {"optim.lr": 0.25})
    assert joined.model == recipe.load_recipe("mae:tiny").model
    assert joined.method == recipe.load_recipe("simclr:tiny").method
    words = shlex.split(recipe.command("pretrain", joined, tmp_path))
    assert words[2] == joined.name == "simclr:tiny@mae:tiny"
    assert recipe.load_recipe(words[2], {"optim.lr": 0.25}) == joined


def test_an_at_in_a_path_is_only_that(tmp_path):
    folder = tmp_path / "me@home"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "from jaxssl.recipe import load_recipe\ndef get_config(variant='tiny'): return load_recipe(f'mim:{variant}')\n"
    )
    assert recipe.load_recipe(f"{folder / 'mine.py'}:tiny") == recipe.load_recipe("mim:tiny")
    joined = recipe.load_recipe(f"{folder / 'mine.py'}@mae:tiny")
    assert joined.model == recipe.load_recipe("mae:tiny").model
