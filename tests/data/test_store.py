"""The store gives back what was written, byte for byte again, or refuses in one sentence."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import samples
import tensorflow_datasets as tfds

from jaxssl.data import shards
from jaxssl.data import store as store_module
from jaxssl.data.record import Record, unplaced
from jaxssl.data.store import open_store, write
from jaxssl.data.summary import Tally
from jaxssl.errors import UserError


def assert_equal(a: Record, b: Record) -> None:
    for field in dataclasses.fields(Record):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if field.name == "plane":
            for leaf in dataclasses.fields(left):
                np.testing.assert_array_equal(getattr(left, leaf.name), getattr(right, leaf.name))
        elif isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right, field.name


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint16", 1), ("uint8", 3), ("uint16", 2)])
def test_records_come_back_in_order_and_exactly(tmp_path, about, dtype, channels):
    def given():
        return samples.records(subjects=3, slices=2, dtype=dtype, channels=channels)

    written = write(given(), tmp_path / "a", **about)
    opened = open_store(tmp_path / "a")
    assert len(opened) == len(written) == 3 * (2 + 1) * 4
    for expected, record in zip(given(), opened.records(), strict=True):
        assert_equal(expected, record)
    assert_equal(opened.record(7), list(given())[7])
    assert opened.fingerprint == written.fingerprint
    assert opened.info == written.info


def test_text_outside_ascii_and_missing_labels(tmp_path, about):
    record = dataclasses.replace(next(samples.records()), subject="Søren", labels={"gruppe": "ikke målt"})
    unlabelled = dataclasses.replace(record, phase=1, labels={})
    first, second = write([record, unlabelled], tmp_path / "a", **about).records()
    assert (first.subject, first.labels) == ("Søren", {"gruppe": "ikke målt"})
    assert second.labels == {}


def test_equal_records_give_equal_bytes(tmp_path, about):
    one = write(samples.records(), tmp_path / "one", **about)
    two = write(samples.records(), tmp_path / "two", **about)
    assert contents(one.path) == contents(two.path)
    assert one.fingerprint == two.fingerprint


def test_bytes_do_not_depend_on_the_process(tmp_path, store):
    code = (
        "import sys, samples; from jaxssl.data.store import write; "
        "write(samples.records(subjects=6), sys.argv[1], name='discs', "
        "description='Random pixels and discs (synthetic).', licence='none')"
    )
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    environment = {"PYTHONPATH": ":".join(paths), "PYTHONHASHSEED": "7", "JAX_PLATFORMS": "cpu", "PATH": ""}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], env=environment, check=True)
    assert open_store(tmp_path / "a").fingerprint == store.fingerprint
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (store.path / file.name).read_bytes(), file.name


@pytest.mark.parametrize("change", [{"labels": {"group": "x"}}, {"thickness": 7.5}, {"moment": "ES"}, {"mask": None}])
def test_any_change_changes_the_fingerprint(tmp_path, about, change):
    records = list(samples.records(subjects=1))
    before = write(records, tmp_path / "before", **about)
    after = write([dataclasses.replace(records[0], **change), *records[1:]], tmp_path / "after", **about)
    assert before.fingerprint != after.fingerprint


def test_many_shards_keep_the_order(tmp_path, about, monkeypatch):
    monkeypatch.setattr(shards, "RECORDS_PER_SHARD", 10)
    written = write(samples.records(subjects=2), tmp_path / "a", **about)
    assert len(list(written.path.glob("*.array_record-*"))) == 4
    assert [int(record.image[0, 0, 0]) for record in written.records()] == list(range(32))


def test_tfds_reads_a_store(store):
    builder = tfds.builder_from_directory(store.path)
    source = builder.as_data_source("records")
    assert builder.info.description == "Random pixels and discs (synthetic)."
    assert len(source) == len(store)
    for index in (0, 41):
        example, record = source[index], store.record(index)
        np.testing.assert_array_equal(example["image"], record.image)
        np.testing.assert_array_equal(example["plane"]["origin"], record.plane.origin)
        assert example["subject"].decode() == record.subject
        assert bool(example["has_mask"]) == (record.mask is not None)


def test_tensorflow_is_never_imported(tmp_path):
    code = """
import sys, samples
from jaxssl.data import cache, loader, plan, store
opened = store.write(samples.records(2), sys.argv[1], name="x", description="", licence="")
cached = cache.open_cache(store.open_store(sys.argv[1]), cache.Layout((16, 16), 2.0))
next(loader.batches(cached, plan.slices(plan.select(cached)), batch=4, seed=0))
assert not {"tensorflow", "torch"} & sys.modules.keys()
"""
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    environment = {"PYTHONPATH": ":".join(paths), "JAX_PLATFORMS": "cpu", "PATH": ""}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], env=environment, check=True)


def test_info_counts(store):
    info = store.info
    assert (info.records, info.subjects, info.studies, info.masked) == (96, 6, 6, 6 * 3 * 2)
    assert info.views == {"4ch": 24, "sax": 72}
    assert info.moments == {"ED": 24, "ES": 24, "none": 48}
    assert info.phases == {"4": 96}
    assert info.sizes["20x24"] == 16
    assert len(info.sizes) == 6
    assert info.spacings == {"1.500x1.500": 96}
    assert info.placed == info.views
    assert info.labels == {"group": {"dilated": 1, "normal": 2}}
    assert (info.name, info.licence, info.dtype, info.channels, info.synthetic) == ("discs", "none", "uint8", 1, False)


def test_what_nobody_knows_of_a_place_is_called_unknown(tmp_path, about):
    lost = [dataclasses.replace(record, plane=unplaced(record.image.shape[:2], None)) for record in samples.records(1)]
    info = write(lost, tmp_path / "lost", **about).info
    assert (info.placed, info.spacings) == ({}, {"unknown": len(lost)})


def test_classes_are_kept_and_unknown_ones_go_by_number(tmp_path, about, store):
    classes = ["background", "rim", "ring", "core", "never seen"]
    write(samples.records(1), tmp_path / "named", **about, classes=tuple(classes))
    assert open_store(tmp_path / "named").info.classes == classes
    assert store.info.classes == ["background", "1", "2", "3"]
    assert write([record()], tmp_path / "unmasked", **about).info.classes == []


def test_a_mask_beyond_its_classes_is_refused(tmp_path, about):
    with pytest.raises(UserError, match="code 3, but the classes background, rim, core end at 2"):
        write(samples.records(1), tmp_path / "a", **about, classes=("background", "rim", "core"))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_store_is_left_alone(tmp_path, about):
    kept = write(samples.records(1), tmp_path / "a", **about)
    before = contents(kept.path)
    with pytest.raises(UserError, match="exists already"):
        write(samples.records(2), tmp_path / "a", **about)
    assert contents(kept.path) == before


def test_nothing_is_left_of_a_write_that_fails(tmp_path, about):
    def breaking():
        yield from list(samples.records(1))[:5]
        (unfinished,) = tmp_path.iterdir()
        with pytest.raises(UserError, match="unfinished"):
            open_store(unfinished)
        raise RuntimeError("scanner on fire")

    with pytest.raises(RuntimeError, match="scanner on fire"):
        write(breaking(), tmp_path / "a", **about)
    with pytest.raises(UserError, match="no records"):
        write(iter(()), tmp_path / "a", **about)
    assert list(tmp_path.iterdir()) == []


def record(**change) -> Record:
    return dataclasses.replace(next(samples.records()), mask=None, **change)


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (record(phase=1, image=np.zeros((20, 24, 1), np.uint16)), "1 of uint8"),
        (record(phase=1, image=np.zeros((20, 24, 2), np.uint8)), "2 channel"),
        (record(phase=1, subject="someone else"), "leak"),
        (record(), "twice"),
    ],
)
def test_ambiguous_records_are_refused(tmp_path, about, second, complaint):
    with pytest.raises(UserError, match=complaint):
        write([record(), second], tmp_path / "a", **about)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "My set", "a/b", "../up", "é"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, about, name):
    with pytest.raises(UserError, match="cannot be called"):
        write(samples.records(1), tmp_path / "a", **{**about, "name": name})


def test_a_place_that_cannot_be_written_is_refused(tmp_path, about):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write(samples.records(1), tmp_path / "file" / "a", **about)


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        open_store(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="not a folder"):
        open_store(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="not a store"):
        open_store(tmp_path / "empty")


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def unlist(file: Path) -> None:
    file.write_text(json.dumps({"format": store_module.FORMAT}))


def of_the_future(file: Path) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))


def test_a_flipped_bit_is_noticed(tmp_path, about):
    path = write(samples.records(1, size=(64, 64)), tmp_path / "a", **about).path
    (shard,) = path.glob("*.array_record-*")
    damaged = bytearray(shard.read_bytes())
    damaged[70_000] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(UserError, match="is damaged"):
        list(open_store(path).records())


@pytest.mark.parametrize(
    ("file", "damage", "complaint"),
    [
        ("discs-records.array_record-00000", truncate, "truncated"),
        ("discs-records.array_record-00000", Path.unlink, "missing"),
        ("features.json", Path.unlink, "missing"),
        ("store.json", Path.unlink, "unfinished"),
        ("store.json", truncate, "cannot be read"),
        ("store.json", unlist, "cannot be read"),
        ("store.json", of_the_future, "format 99"),
    ],
)
def test_a_damaged_store_is_refused(tmp_path, about, file, damage, complaint):
    path = write(samples.records(1), tmp_path / "a", **about).path
    damage(path / file)
    with pytest.raises(UserError, match=complaint) as caught:
        open_store(path)
    assert "\n" not in str(caught.value)


def test_tallies_of_parts_add_up_to_that_of_the_whole():
    records = list(samples.records(subjects=5, slices=2))
    whole = Tally.like(records[0], ())
    for each in records:
        whole.add(each)
    parts = []
    for subject in ("s3", "s0", "s4", "s1", "s2"):
        own = [each for each in records if each.subject == subject]
        parts.append(Tally.like(own[0], ()))
        for each in own:
            parts[-1].add(each)
    parts = [Tally.from_json(json.loads(json.dumps(part.to_json()))) for part in parts]
    first, *others = parts
    for other in others:
        first.merge(other)
    about = ("discs", "", "none", "", True)
    assert first.info(*about) == whole.info(*about)
    stranger = Tally.like(records[0], ())
    stranger.add(dataclasses.replace(records[0], subject="someone else"))
    with pytest.raises(UserError, match="would leak"):
        first.merge(stranger)
