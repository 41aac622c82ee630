"""The script that compares beginnings: every row is there, the one without a file too."""

import importlib.util
from pathlib import Path

import jaxssl

SCRIPT = Path(__file__).parents[2] / "experiments" / "beginnings.py"


def test_beginnings_are_compared_and_a_missing_file_is_said(store, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("beginnings", SCRIPT)
    beginnings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(beginnings)
    pretrained = jaxssl.pretrain("mim:tiny", tmp_path / "mim", {"data.store": str(store)})
    exported = jaxssl.export(pretrained, out=tmp_path / "exported")
    given = {"recipe": "segment:tiny", "store": str(store), "runs": (pretrained,), "out": tmp_path / "out"}
    scratch, images, run = beginnings.main(**given)
    assert images[1:] == ("not run: no weights", "")
    assert "not run: no weights" in capsys.readouterr().out
    # The file of these weights is the run's own: the same beginning, and so the same figures.
    again, images, same = beginnings.main(weights=exported / "model.safetensors", **given)
    assert (scratch, run) == (again, same)
    assert images[1:] == run[1:] != scratch[1:]
