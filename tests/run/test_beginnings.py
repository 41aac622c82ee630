"""The script that compares beginnings: every row is there, the one without a file too."""

import importlib.util
from pathlib import Path

import pytest

import jaxssl

SCRIPT = Path(__file__).parents[2] / "experiments" / "beginnings.py"


@pytest.fixture(scope="module")
def beginnings():
    spec = importlib.util.spec_from_file_location("beginnings", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_beginnings_are_compared_and_a_missing_file_is_said(beginnings, store, tmp_path, capsys):
    pretrained = jaxssl.pretrain("mim:tiny", tmp_path / "mim", {"data.store": str(store)})
    exported = jaxssl.export(pretrained, out=tmp_path / "exported")
    given = {"recipe": "segment:tiny", "store": str(store), "runs": (pretrained,), "out": tmp_path / "out"}
    scratch, images, run = beginnings.main(**given)
    assert images[1:] == ("not run: no weights", "")
    said = capsys.readouterr().out
    assert "not run: no weights" in said
    assert "mean Dice" in said
    # The file of these weights is the run's own: the same beginning, and so the same figures.
    again, images, same = beginnings.main(weights=exported / "model.safetensors", **given)
    assert (scratch, run) == (again, same)
    assert images[1:] == run[1:] != scratch[1:]


def test_a_classifier_is_known_by_its_auroc(beginnings, store, tmp_path, capsys):
    beginnings.main("classify:tiny", tmp_path, store=str(store))
    said = capsys.readouterr().out
    assert "┃ AUROC" in said
    assert "Dice" not in said
