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
