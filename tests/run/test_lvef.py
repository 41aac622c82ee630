"""A store written again with the label of what the left ventricle ejects."""

import json
from dataclasses import replace

import numpy as np
import pytest

import jaxssl
from jaxssl.cli import main
from jaxssl.data.phantom.cine import analytic_volumes
from jaxssl.data.source import Data, open_source
from jaxssl.data.store import open_store, write_again
from jaxssl.errors import UserError
from jaxssl.evaluate.metrics import ejection_fraction


@pytest.fixture(scope="module")
def labelled(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("labelled") / "lvef"
    assert main(["data", "lvef", str(store), "--out", str(out)]) == 0
    return open_store(out)


def test_the_label_is_that_of_the_heart_and_everything_else_is_as_it_was(labelled, store):
    """The phantom says in closed form what a ventricle ejects; masks of few slices miss some of it."""
    options = jaxssl.CineOptions(subjects=10, phases=2, slices=4, seed=3)
    told = {}
    for before, after in zip(open_store(store).records(), labelled.records(), strict=True):
        np.testing.assert_array_equal(before.image, after.image)
        assert (before.mask is None) == (after.mask is None)
        assert {**before.labels, "lvef": after.labels["lvef"]} == after.labels
        told[after.subject] = after.labels["lvef"]
    volumes = [[analytic_volumes(options, index, phase)["LV"] for phase in (0, 1)] for index in range(10)]
    fractions = [ejection_fraction(*pair) for pair in volumes]
    sure = [index for index, fraction in enumerate(fractions) if abs(fraction - 50) > 8]
    assert len(sure) >= 8
    for index in sure:
        assert told[f"phantom-3-{index:03d}"] == ("reduced" if fractions[index] < 50 else "preserved")
    assert labelled.info.labels["lvef"].keys() == {"reduced", "preserved"}
    assert labelled.info.synthetic


def test_the_bound_is_the_users(store, tmp_path, capsys):
    jaxssl.data_lvef(store, tmp_path / "all", below=100)
    assert open_store(tmp_path / "all").info.labels["lvef"] == {"reduced": 10}
    assert "lvef of 10 of 10 subjects" in capsys.readouterr().err


def test_splits_of_the_old_store_split_the_new_one_and_no_other(labelled, store, tmp_path):
    split = jaxssl.data_split(store, tmp_path / "split", sizes=()) / "split.json"
    once_more = write_again(labelled, labelled.records(), tmp_path / "again", suffix="again", note="Once more.")
    for each in (labelled, once_more):
        found = open_source(Data(store=str(each.path), split=str(split))).split
        assert list(found.test) == json.loads(split.read_text())["test"]
    other = jaxssl.data_split(labelled.path, tmp_path / "other", sizes=()) / "split.json"
    with pytest.raises(UserError, match="is a split of cine_phantom_lvef"):
        open_source(Data(store=str(store), split=str(other)))


def test_studies_without_masks_at_both_moments_get_no_label(store, tmp_path):
    old = open_store(store)
    first = old.record(0).subject

    def records():
        for record in old.records():
            yield replace(record, mask=None) if record.subject == first and record.moment == "ES" else record

    some = write_again(old, records(), tmp_path / "some", suffix="some", note="")
    jaxssl.data_lvef(some.path, tmp_path / "new")
    found = {record.subject: record.labels.get("lvef") for record in open_store(tmp_path / "new").records()}
    assert [who for who, value in found.items() if value is None] == [first]


def test_what_gives_no_true_label_is_refused(labelled, store, tmp_path):
    old = open_store(store)
    predicted = write_again(old, old.records(), tmp_path / "p", suffix="p", note="", masks_by="segment:tiny on hearts")
    with pytest.raises(UserError, match="were made by a network"):
        jaxssl.data_lvef(predicted.path, tmp_path / "out")
    with pytest.raises(UserError, match="has a label lvef already"):
        jaxssl.data_lvef(labelled.path, tmp_path / "out")
    bare = write_again(old, old.records(), tmp_path / "b", suffix="b", note="", classes=("background", "x", "y", "z"))
    with pytest.raises(UserError, match="no masks of the class LV"):
        jaxssl.data_lvef(bare.path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
