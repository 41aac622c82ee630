"""Copies in two subjects or in two parts of a split are found, and what else the verb says."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import samples

from jaxssl.cli import main
from jaxssl.data.check import Kind, check_store
from jaxssl.data.check.whole import _compared
from jaxssl.data.duplicates import averaged
from jaxssl.data.record import Record
from jaxssl.data.store import SUMMARY, write


def sound(subjects: int) -> list[Record]:
    """Records whose short-axis stacks run from base to apex."""
    return [
        dataclasses.replace(r, plane=samples.plane(*r.image.shape[:2], depth=-8.0 * r.slice))
        for r in samples.records(subjects=subjects, phases=2, seed=1)
    ]


def made(path: Path, change=lambda records: records) -> Path:
    """A store of sound records, changed."""
    about = {"name": "discs", "description": "Random pixels (synthetic).", "licence": "none", "synthetic": True}
    write(change(sound(3)), path / "s", **about, classes=("background", "a", "b", "c"))
    return path / "s"


def kinds(path: Path, **options) -> dict[Kind, int]:
    return dict(check_store(path, **options).counts)


def test_a_copy_in_another_subject_is_found_and_in_another_part_of_a_split(tmp_path):
    smooth = np.kron(np.random.default_rng(5).integers(0, 255, (5, 6)), np.ones((4, 4)))[..., None].astype(np.uint8)
    assert averaged(smooth).std() > 10

    def change(records):
        for r in records:
            same = r.view == "4ch" and r.subject in ("s0", "s1") and r.phase == 0
            yield dataclasses.replace(r, image=smooth[: r.image.shape[0], :], plane=r.plane) if same else r

    def fitted(records):
        for r in change(records):
            plane = dataclasses.replace(r.plane, shape=np.array(r.image.shape[:2]))
            mask = r.mask if r.mask is None or r.mask.shape == r.image.shape[:2] else None
            yield dataclasses.replace(r, plane=plane, mask=mask)

    path = made(tmp_path, fitted)
    assert kinds(path) == {Kind.TWINS: 1}
    assert kinds(path, part_of={"s0": "train", "s1": "train", "s2": "test"}) == {Kind.TWINS: 1}
    found = check_store(path, part_of={"s0": "train", "s1": "test"})
    assert found.counts == {Kind.TWINS: 1, Kind.LEAK: 1}
    assert "test and train" in found.examples[Kind.LEAK][0]


def test_copies_are_named_by_their_records_and_found_in_a_few_frames_of_a_clip(tmp_path):
    """Frames are looked at in the first, the middle and the last phase; black ones before them have numbers too."""
    rng = np.random.default_rng(0)
    clip = [np.kron(rng.integers(0, 255, (5, 6)), np.ones((4, 4)))[..., None].astype(np.uint8) for _ in range(9)]
    clip[0][:] = 0
    base = next(iter(sound(1)))
    plane = dataclasses.replace(base.plane, shape=np.array([20, 24]))
    fields = {"view": "lung", "slice": 0, "slices": 1, "phases": 9, "moment": "", "mask": None, "plane": plane}
    records = [
        dataclasses.replace(base, **fields, image=image, phase=n, subject=who, study=who)
        for who in ("a", "b")
        for n, image in enumerate(clip)
    ]
    found = check_store(made(tmp_path, lambda _: records))
    assert found.counts[Kind.TWINS] == 1
    assert found.examples[Kind.TWINS][0].startswith(("records 4 and 13 ", "records 8 and 17 "))
    assert _compared(9) == {0, 4, 8}
    assert _compared(1) == {0}


def test_a_split_of_another_store_is_refused(tmp_path, capsys):
    path = made(tmp_path)
    fingerprint = json.loads((path / SUMMARY).read_text())["fingerprint"]
    split = {"store": "discs", "moments": [], "train": ["s0"], "validation": [], "test": ["s1"]}
    (tmp_path / "split.json").write_text(json.dumps({**split, "fingerprint": fingerprint}))
    words = ["data", "check", str(path), "--split", str(tmp_path / "split.json")]
    assert main(words) == 0
    (tmp_path / "split.json").write_text(json.dumps({**split, "fingerprint": "0" * 16}))
    assert main(words) == 2
    assert "is a split of discs 0000000000000000, and" in capsys.readouterr().err
