"""`finetune classify` and `probe`, as a user types them, on the smallest data."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxssl
from jaxssl import config
from jaxssl.cli import main
from jaxssl.data.source import open_source
from jaxssl.data.store import open_store, write
from jaxssl.errors import UserError
from jaxssl.evaluate.classify import classify_subjects
from jaxssl.evaluate.metrics import measures
from jaxssl.run.classification import in_words
from jaxssl.run.common import load_run
from jaxssl.workdir import existing


@pytest.fixture(scope="module")
def tuned(run, store, tmp_path_factory):
    """A linear layer on the frozen encoder of another run."""
    folder = tmp_path_factory.mktemp("classified") / "frozen"
    flags = {"data.store": str(store), "init.run": str(run), "method.freeze_encoder": True, "optim.lr": 0.1}
    return jaxssl.finetune("classify:tiny", folder, flags)


def test_the_evaluation_has_an_answer_for_every_test_subject(tuned):
    result = json.loads((tuned / "evaluation.json").read_text())
    recipe = config.load(tuned / "recipe.json")
    source = open_source(recipe.data)
    assert {name: result[name] for name in ("kind", "on", "target", "unit", "n", "training_subjects", "seed")} == {
        "kind": "classification", "on": "test", "target": "group", "unit": "subject", "n": 3, "training_subjects": 6,
        "seed": 0,
    }  # fmt: skip
    assert "synthetic" in result["data"]
    truth = {record.subject: record.labels["group"] for record in source.store.records()}
    assert [case["subject"] for case in result["cases"]] == sorted(source.split.test)
    assert [result["classes"][case["truth"]] for case in result["cases"]] == [
        truth[s] for s in sorted(source.split.test)
    ]

    loaded = load_run(existing(tuned), pytest.fail)
    predict = jax.jit(loaded.method.predict)
    cases = classify_subjects(
        lambda batch: predict(loaded.parts, batch), source.cache, source.samples(source.split.test),
        source.labels.codes, masks=False, batch=5,
    )  # fmt: skip
    found = np.array([case["probabilities"] for case in result["cases"]])
    np.testing.assert_allclose(found, cases.probabilities, rtol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert result["measures"] == measures(np.array([case["truth"] for case in result["cases"]]), found)


def test_a_frozen_encoder_is_the_one_that_was_taken_over(tuned, run):
    mine, theirs = (load_run(existing(path), pytest.fail).parts for path in (tuned, run))
    jax.tree.map(np.testing.assert_array_equal, mine["encoder"], theirs["encoder"])
    fresh = np.abs(mine["head"]["params"]["layer0"]["bias"]).max()
    assert fresh > 0


def test_the_outcome_is_said_in_a_sentence():
    found = {"auroc": 0.75, "balanced_accuracy": 0.5, "f1": 0.25}
    cases = [{"truth": code} for code in (0, 1, 1)]
    result = {"target": "group", "on": "test", "unit": "subject", "n": 3, "classes": ["A", "B"], "measures": found}
    said = "group: AUROC (macro, one against the rest) {}, balanced accuracy 0.500, F1 0.250 on {}3 test subjects{}."
    assert in_words({**result, "cases": cases}) == said.format("0.750", "", "")
    nothing = {**found, "auroc": None}
    images = {**result, "unit": "image", "cases": [{"truth": 1}] * 7, "measures": nothing}
    without = "; none of them is A"
    assert in_words(images) == said.format("none (the cases have one class)", "7 images of ", without)


def rewritten(store, path, masks_by="", changed=lambda record: record):
    old = open_store(store)
    records = (changed(record) for record in old.records())
    return write(
        records, path, name="phantom", description="Synthetic.", licence="none", synthetic=True,
        classes=old.info.classes, masks_by=masks_by,
    ).path  # fmt: skip


def test_masks_that_are_shown_are_predicted_and_never_true(store, tmp_path, capsys):
    words = ["finetune", "classify:tiny", "--data.masks", "--train.steps", "1", "--workdir", str(tmp_path / "run")]
    for style in ("heart", "box", "swapped"):
        more = ["--data.partners", "subject"] if style == "swapped" else []
        assert main([*words, "--data.store", str(store), "--method.input", style, *more]) == 2
        said = (
            f"method.input {style} is cut out by masks, and those of {store} are true ones, which no new patient comes"
        )
        assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    predicted = str(rewritten(store, tmp_path / "store", masks_by="segment:tiny on phantom 123"))
    more = ["--data.partners", "subject", "--data.label", "vendor"]
    assert main([*words, "--data.store", predicted, "--method.input", "swapped", *more]) == 0
    result = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert (result["target"], result["n"]) == ("vendor", 3)
    assert capsys.readouterr().err.splitlines()[-1] == in_words(result)


def test_labels_that_teach_or_test_nothing_are_refused(store, tmp_path):
    held_out = open_source(config.override(jaxssl.recipe.load_recipe("classify:tiny").data, {"store": str(store)}))
    test, alike = set(held_out.split.test), tmp_path / "alike"

    def of_one_class(record):
        return replace(record, labels={"group": "DCM" if record.subject in test else "NOR"})

    def of_nobody(record):
        return replace(record, labels={} if record.subject in test else record.labels)

    with pytest.raises(UserError, match="training subjects have fewer than two classes of group"):
        jaxssl.finetune("classify:tiny", tmp_path / "a", {"data.store": str(rewritten(store, alike, "", of_one_class))})
    unknown = str(rewritten(store, tmp_path / "unknown", "", of_nobody))
    with pytest.raises(UserError, match="No test subject's group is known"):
        jaxssl.finetune("classify:tiny", tmp_path / "b", {"data.store": unknown})
    with pytest.raises(UserError, match="Classification learns from a label"):
        jaxssl.finetune("classify:tiny", tmp_path / "c", {"data.store": str(store), "data.label": None})


def test_a_probe_asks_about_images_and_about_subjects(run, capsys):
    result = jaxssl.probe(run, "group", k=5)
    assert json.loads(json.dumps(result)) == json.loads((run / "probe.json").read_text())
    images, subjects = result["images"], result["subjects"]
    assert (result["unit"], images["n"], subjects["n"]) == ("image", result["n_test"], result["subjects_test"])
    assert images["knn"]["accuracy"] == result["knn"]["accuracy"]
    for name in ("accuracy", "balanced_accuracy"):
        assert images["linear"][name] == pytest.approx(result["linear"][name])
    assert images["chance"] == result["chance"]
    assert len(images["linear"]["auroc_by_class"]) == len(result["classes"]) == 5
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert first.startswith(f"group, accuracy: kNN (k=5, T=0.07) {result['knn']['accuracy']:.3f} (macro AUROC ")
    assert f"one answer for all at most {subjects['chance']:.3f}; 3 test subjects, each the mean of" in second


@pytest.mark.slow
def test_the_group_is_learnt_and_chance_is_all_where_groups_are_dealt_anew(tmp_path):
    """Of 64 synthetic subjects 19 are held out; what leaked from them would show in dealt labels as well."""
    store = jaxssl.data_phantom(tmp_path / "store", jaxssl.CineOptions())
    groups = {record.subject: record.labels["group"] for record in open_store(store).records()}
    dealt = dict(zip(groups, np.random.default_rng(0).permutation(list(groups.values())), strict=True))

    def other(record):
        return replace(record, labels={"group": str(dealt[record.subject])})

    found = {}
    for name, path in (("true", store), ("dealt", rewritten(store, tmp_path / "dealt", "", other))):
        run = jaxssl.finetune("classify:small", tmp_path / f"run-{name}", {"data.store": str(path)})
        found[name] = json.loads((run / "evaluation.json").read_text())["measures"]["auroc"]
    assert found["true"] > 0.9
    assert found["dealt"] < 0.7  # .5 with a standard deviation of about .07
