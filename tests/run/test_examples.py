"""The examples of the verbs, which are one story: each goes on with what those before it have written."""

import doctest
import inspect
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxssl
import jaxssl.run

ROOT = Path(__file__).parents[2]
STORY = (
    *("data_phantom", "data_info", "data_check", "data_split", "data_lvef", "data_ingest"),
    *("pretrain", "load", "embed", "probe", "export", "finetune", "evaluate", "segment", "predict"),
    *("saliency", "report", "replay", "ablate", "plan"),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a reader would stand: two pictures of their own, and the studies that come with jaxssl."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 255, (48, 40), np.uint8)).save(f"scans/{name}.png")
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")


def test_every_verb_is_in_the_story():
    verbs = {name for name in jaxssl.__all__ if inspect.isfunction(getattr(jaxssl, name))}
    assert set(STORY) == verbs | {"evaluate", "plan"}


@pytest.mark.usefixtures("folder")
def test_the_examples_of_the_verbs_hold():
    told: list[str] = []
    runner = doctest.DocTestRunner()
    for name in STORY:
        for example in doctest.DocTestFinder().find(getattr(jaxssl.run, name), globs={"jaxssl": jaxssl, "np": np}):
            assert example.examples, f"{name} has no example"
            runner.run(example, out=told.append)
    assert not told, "".join(told)
