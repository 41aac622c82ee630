"""Validation chooses; the test subjects are asked once, and whoever asks them again in another way is told so."""

import json
import shutil
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import pytest

import jaxssl
import jaxssl.run
from jaxssl.cli import main
from jaxssl.data.store import LEDGER, open_store, write_again
from jaxssl.errors import UserError
from jaxssl.recipe import Init, load_recipe
from jaxssl.run.openings import beginnings, opening
from jaxssl.workdir import Workdir

OTHERWISE = ("--data.layout.spacing", "4.1")
"""Another way, whose program is the same and need not be compiled again."""


@pytest.fixture
def own(store, tmp_path):
    """A copy of the store, whose ledger is this test's alone."""
    return shutil.copytree(store, tmp_path / "store", ignore=shutil.ignore_patterns(LEDGER))


def segmented(store, workdir, *words):
    given = ["--data.store", str(store), "--workdir", str(workdir), "--train.steps", "1"]
    assert main(["finetune", "segment:tiny", *given, *words]) == 0
    return workdir


def read(path):
    return json.loads(path.read_text())


def test_while_there_is_a_choice_the_test_subjects_are_left_alone(own, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Workdir, "add_pictures", alone_and(Workdir.add_pictures))
    run = segmented(own, tmp_path / "run", "--on", "validation")
    assert not (run / "evaluation.json").exists()
    assert not (own / LEDGER).exists()
    looked = read(run / "validation.json")
    assert looked["on"] == "validation"
    assert "opening" not in looked
    assert "validation subjects" in capsys.readouterr().err
    assert main(["evaluate", str(run)]) == 0
    asked = read(run / "evaluation.json")
    assert (asked["on"], asked["opening"]) == ("test", 1)
    assert not {row["subject"] for row in asked["subjects"]} & {row["subject"] for row in looked["subjects"]}
    # The same network gives the same answer: it is read, and the subjects are not asked again.
    (run / "evaluation.json").write_text(json.dumps(asked | {"mean_dice": 0.123}))
    assert main(["evaluate", str(run)]) == 0
    assert "Dice 0.123" in capsys.readouterr().err


def test_another_recipe_for_the_same_question_is_a_second_opening(own, tmp_path, capsys):
    def number(name, *words):
        return read(segmented(own, tmp_path / name, *words) / "evaluation.json")["opening"]

    pretrained = jaxssl.pretrain("mim:tiny", tmp_path / "mim", {"data.store": str(own), "train.steps": 1})
    assert number("first") == 1
    assert number("moved") == 1
    assert number("other-seed", "--train.seed", "1") == 1
    assert number("from-mim", "--init.run", str(pretrained)) == 1
    assert "Warning" not in capsys.readouterr().err
    assert number("tuned", *OTHERWISE) == 2
    assert "this is opening 2 of these test subjects" in capsys.readouterr().err
    assert number("tuned-more", "--data.layout.spacing", "4.2") == 3
    assert number("again", *OTHERWISE) == 2
    given = {"data.store": str(own), "train.steps": 1, "data.layout.spacing": 4.3}
    planned = jaxssl.finetune("segment:tiny", tmp_path / "planned", given, planned="study/fast", on="validation")
    assert jaxssl.run.evaluate(planned)["opening"] == 1
    later = segmented(own, tmp_path / "later", "--data.layout.spacing", "4.4", "--on", "validation")
    given |= {"data.layout.spacing": 4.4}
    jaxssl.finetune("segment:tiny", later, given, planned="study/later", on="validation")
    assert jaxssl.run.evaluate(later)["opening"] == 4


def test_what_a_network_is_shown_and_a_frozen_encoder_are_other_questions(own, tmp_path):
    options = {"data.store": str(own), "train.steps": 1}
    segmenter = segmented(own, tmp_path / "segmenter", "--on", "validation")
    found = jaxssl.segment(segmenter, own, tmp_path / "found")

    def number(name, **more):
        given = {**options, "data.store": str(found), **more}
        run = jaxssl.finetune("classify:tiny", tmp_path / name, {key.replace("__", "."): v for key, v in given.items()})
        return read(run / "evaluation.json")["opening"]

    hearts = {"data__masks": True, "method__input": "heart"}
    pretrained = [
        jaxssl.pretrain("simclr:tiny", tmp_path / f"pre{n}", {**options, "data.store": str(found), **shown})
        for n, shown in enumerate(({}, {"data.masks": True, "method.input": "heart"}))
    ]
    assert number("whole") == number("heart", **hearts) == number("frozen", method__freeze_encoder=True) == 1
    assert [number(f"from{n}", init__run=str(run)) for n, run in enumerate(pretrained)] == [1, 1]
    assert number("tuned", **hearts, data__layout__spacing=4.1) == 2


def test_a_store_made_from_another_has_its_subjects_and_what_they_were_asked(own, tmp_path):
    segmented(own, tmp_path / "first")
    old = open_store(own)
    made = write_again(old, old.records(), tmp_path / "made", suffix="made", note="")
    again = write_again(made, made.records(), tmp_path / "again", suffix="again", note="")
    tuned = segmented(again.path, tmp_path / "tuned", *OTHERWISE)
    assert read(tuned / "evaluation.json")["opening"] == 2


def alone_and(add):
    """`add_pictures`, seen to be called by one who has the folder alone."""

    def added(workdir, pictures):
        with pytest.raises(UserError, match="in use by"), workdir.alone(pytest.fail):
            pass
        add(workdir, pictures)

    return added


def test_the_first_answer_of_a_probe_stays(own, tmp_path, monkeypatch):
    run = jaxssl.pretrain("mim:tiny", tmp_path / "mim", {"data.store": str(own), "train.steps": 1})
    with monkeypatch.context() as patch:
        patch.setattr(import_module("jaxssl.run.probe"), "of_rows", lambda *_: pytest.fail("all of it is embedded"))
        with pytest.raises(UserError, match=r"has no label 'shoe'; it has .*: name one by --target"):
            jaxssl.probe(run, "shoe")
    with monkeypatch.context() as patch:
        patch.setattr(Workdir, "add_pictures", alone_and(Workdir.add_pictures))
        first = jaxssl.probe(run, k=5)
    later = jaxssl.probe(run, k=7)
    assert (first["opening"], later["opening"]) == (1, 2)
    assert read(run / "probe.json")["knn"]["k"] == 5
    assert read(run / "probe-2.json")["knn"]["k"] == 7
    jaxssl.probe(run, k=5)
    assert read(run / "probe.json")["knn"]["k"] == 5
    assert not (run / "probe-3.json").exists()


def test_a_ledger_that_cannot_be_kept_or_read_stops_nobody(tmp_path):
    run = tmp_path / "run"
    (tmp_path / LEDGER).write_text('{"question": "half a li')
    assert [opening(tmp_path, {"a": 1}, way, run) for way in ("x", "y", "x")] == [1, 2, 1]
    assert opening(tmp_path, {"a": 2}, "y", run) == 1
    (tmp_path / LEDGER).unlink()
    (tmp_path / LEDGER).mkdir()
    assert opening(tmp_path, {"a": 1}, "y", run) is None


def test_a_run_that_was_moved_and_a_file_under_another_name_are_the_same_way(tmp_path):
    source = SimpleNamespace(split_fingerprint="parts")
    recipe = load_recipe("segment:tiny")

    def way(init: Init, sha256: str = "") -> str:
        said = {"init_weights": {"sha256": sha256}} if sha256 else {}
        return beginnings(replace(recipe, init=init), source, said)["way"]

    def begun(name: str, before: str) -> Init:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "recipe.json").write_text("{}")
        (folder / "run.json").write_text(json.dumps({"method": "mim", "way": before}))
        return Init(run=str(folder))

    assert way(begun("here", "one")) == way(begun("moved", "one")) != way(begun("other", "two"))
    weights = Init(weights="a.safetensors")
    assert way(weights, "1f") == way(Init(weights="b.safetensors"), "1f") != way(weights, "2f")
    assert len({way(Init()), way(begun("again", "one")), way(weights, "1f")}) == 3
