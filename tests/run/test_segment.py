"""A store whose masks a network has made."""

import json
from pathlib import Path

import numpy as np
import pytest

import jaxssl
from jaxssl.cli import main
from jaxssl.data.store import open_store
from jaxssl.errors import UserError


@pytest.fixture(scope="module")
def made(store, tmp_path_factory):
    """A segmentation run, and the store written again with its masks."""
    folder = tmp_path_factory.mktemp("segmented")
    run = jaxssl.finetune(
        "segment:tiny", folder / "run", {"data.store": str(store), "train.steps": 60, "optim.lr": 1e-2}
    )
    assert main(["segment", str(run), "--store", str(store), "--out", str(folder / "new")]) == 0
    return run, open_store(folder / "new")


def test_the_masks_are_the_networks_and_everything_else_is_as_it_was(made, store):
    run, new = made
    old, scores = open_store(store), json.loads((run / "evaluation.json").read_text())["subjects"]
    volumes: dict[tuple[str, str], list] = {}
    for before, after in zip(old.records(), new.records(), strict=True):
        np.testing.assert_array_equal(before.image, after.image)
        assert (before.subject, before.view, before.slice, before.phase) == (
            after.subject,
            after.view,
            after.slice,
            after.phase,
        )
        assert (after.mask is not None) == (after.view == "sax")
        if before.mask is not None and after.mask is not None:
            volumes.setdefault((before.subject, before.moment), []).append((after.mask, before.mask))
    assert new.info.classes == old.info.classes
    # The run has scored the same predictions when it was evaluated.
    for row in scores:
        pairs = volumes[row["subject"], row["moment"]]
        predicted, true = (np.concatenate([mask.ravel() for mask in masks]) for masks in zip(*pairs, strict=True))
        for code, dice in enumerate(row["dice"], 1):
            overlap = ((predicted == code) & (true == code)).sum()
            total = (predicted == code).sum() + (true == code).sum()
            assert dice == pytest.approx(2 * overlap / total if total else 1.0, abs=1e-6)


def test_who_the_network_has_learnt_from_is_not_tested_on(made, tmp_path):
    run, new = made
    assert new.info.masks_by.startswith("segment:tiny on cine_phantom")
    assert new.info.masks_learnt_from == json.loads((run / "seen.json").read_text())
    assert sum(map(len, new.info.masks_learnt_from.values())) == 6
    options = {"data.store": str(new.path), "data.masks": True, "train.steps": 1}
    jaxssl.pretrain("mim:tiny", tmp_path / "same", options)
    with pytest.raises(UserError, match="already seen by the network that made the masks"):
        jaxssl.pretrain("mim:tiny", tmp_path / "other", {**options, "data.split_seed": 1})


def test_nothing_is_scored_against_masks_of_a_network(made, tmp_path):
    _, new = made
    with pytest.raises(UserError, match="would be scored against that; fine-tune on the store that it was made from"):
        jaxssl.finetune("segment:tiny", tmp_path / "run", {"data.store": str(new.path)})


def test_pretraining_with_true_masks_is_warned_of(made, store, tmp_path, capsys):
    _, new = made
    for where, warned in ((store, True), (new.path, False)):
        options = {"data.store": str(where), "data.masks": True, "train.steps": 1, "method.input": "heart"}
        jaxssl.pretrain("simclr:tiny", tmp_path / Path(where).name, options)
        assert ("are true ones" in capsys.readouterr().err) == warned


def test_a_run_without_labels_cannot_segment(store, tmp_path):
    jaxssl.pretrain("mim:tiny", tmp_path / "mim", {"data.store": str(store), "train.steps": 1})
    with pytest.raises(UserError, match="has not learnt to segment"):
        jaxssl.segment(tmp_path / "mim", store, tmp_path / "new")
