"""A store is the same to the byte however it came about: by one process or many, at once or after the worst of ends."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import samples
import scanner
from fakeset import SUBJECTS, Breaking, FakeSet, contents, volume

from jaxssl.cli import main
from jaxssl.data.ingest import engine, merge, pool
from jaxssl.data.ingest.engine import Counts, Outcome, ingest
from jaxssl.data.shards import read_file
from jaxssl.data.store import UNFINISHED, open_store
from jaxssl.errors import UserError
from jaxssl.run import ingest as verb


def rejects_of(outcome: Outcome) -> dict[str, str]:
    lines = map(json.loads, outcome.rejects.read_text().splitlines())
    return {line["file"]: line["reason"] for line in lines}


def test_a_store_holds_everyone_and_the_rest_is_told(whole, source):
    store = open_store(whole.store)
    assert (whole.records, whole.subjects, whole.rejected, whole.complete_before) == (18, 3, 3, False)
    assert (store.info.records, store.info.subjects, store.info.dtype, store.info.name) == (18, 3, "uint16", "fakeset")
    assert list(rejects_of(whole)) == ["Eve/copy.nii", "Eve/cut.nii", "Eve/notes.txt"]
    assert rejects_of(whole)["Eve/copy.nii"] == "it holds the same images as 0.nii"
    assert rejects_of(whole)["Eve/notes.txt"].startswith("it is no NIfTI")
    subjects = [record.subject for record in store.records()]
    assert subjects == sorted(subjects)
    intensities = [json.loads(line) for line in (whole.store / "intensities.jsonl").read_text().splitlines()]
    assert [each["subject"] for each in intensities] == sorted(set(subjects))
    assert sorted(each["dtype"] for each in intensities) == ["uint16", "uint8", "uint8"]


def test_each_pixel_is_that_of_its_file(whole, source, key):
    import nibabel

    images = [record.image[..., 0] for record in open_store(whole.store).records()]
    for file in [source / name / f"{n}.nii" for name in SUBJECTS for n in range(2)]:
        for expected in np.asarray(nibabel.load(file).dataobj).transpose(2, 1, 0):
            assert sum(np.array_equal(image, expected) for image in images) == 1


def test_the_number_of_processes_changes_no_byte(whole, source, key, tmp_path, here):
    alone = ingest(FakeSet(), source, tmp_path / "alone", key_file=key)
    assert contents(alone.store) == contents(whole.store)
    assert alone.rejects.read_text() == whole.rejects.read_text()


def test_another_key_gives_other_names_and_the_same_one_the_same(whole, source, key, tmp_path, here):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "Bob").symlink_to(source / "Bob")
    same = ingest(FakeSet(), tmp_path / "part", tmp_path / "same", key_file=key)
    other = ingest(FakeSet(), tmp_path / "part", tmp_path / "other", key_file=tmp_path / "other.key")
    everyone = {record.subject for record in open_store(whole.store).records()}
    (bob,), (stranger,) = ({record.subject for record in open_store(one.store).records()} for one in (same, other))
    assert bob in everyone
    assert stranger not in everyone
    assert open_store(same.store).info.key_id == open_store(whole.store).info.key_id
    assert open_store(other.store).info.key_id != open_store(whole.store).info.key_id


def test_a_process_that_dies_or_hangs_costs_the_file_alone(source, key, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "PATIENCE", 5.0)
    broken = FakeSet({"Ada": Breaking(1, "dies"), "Bob": Breaking(0, "hangs")})
    outcome = ingest(broken, source, tmp_path / "store", key_file=key, workers=2)
    rejects = rejects_of(outcome)
    assert rejects["Ada/1.nii"] == "reading it brings the program down"
    assert rejects["Bob/0.nii"] == "it takes more than 5 s to read"
    assert (outcome.records, outcome.rejected) == (12, 5)


@pytest.fixture
def done(here, monkeypatch) -> list[str]:
    """The names of the subjects that are read in this test."""
    names, run = [], engine.run

    def noted(work, jobs, processes):
        names.extend(job.subject.name for job in jobs)
        return run(work, jobs, processes)

    monkeypatch.setattr(engine, "run", noted)
    return names


def test_a_killed_run_is_continued(whole, source, key, tmp_path, done):
    """Killed by the operating system when one subject is done."""
    code = (
        "import os, signal, sys; from pathlib import Path; from fakeset import FakeSet; "
        "from jaxssl.data.ingest.engine import ingest; die = lambda counts: os.kill(os.getpid(), signal.SIGKILL); "
        "ingest(FakeSet(), sys.argv[1], sys.argv[2], key_file=Path(sys.argv[3]), workers=1, progress=die)"
    )
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3])]
    environment = {**os.environ, "PYTHONPATH": ":".join(paths), "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-c", code, str(source), str(tmp_path / "store"), str(key)]
    assert subprocess.run(words, env=environment, check=False).returncode == -signal.SIGKILL
    with pytest.raises(UserError, match="the same `jaxssl data ingest` as before continues it"):
        open_store(tmp_path / "store")
    ingest(FakeSet(), source, tmp_path / "store", key_file=key)
    assert set(done) <= {"Bob", "Eve"}
    assert "Eve" in done
    assert contents(tmp_path / "store") == contents(whole.store)


@pytest.mark.parametrize("step", ["write_shards", "put_text", "finish"])
def test_an_end_while_parts_are_joined_is_made_up_for(step, whole, source, key, tmp_path, here, monkeypatch):
    real = getattr(merge, step)

    def stopped(*arguments, **options):
        real(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(merge, step, stopped)
        with pytest.raises(KeyboardInterrupt):
            ingest(FakeSet(), source, tmp_path / "store", key_file=key)
    monkeypatch.setattr(engine, "PartWriter", None if step == "finish" else engine.PartWriter)
    assert ingest(FakeSet(), source, tmp_path / "store", key_file=key).complete_before == (step == "finish")
    assert contents(tmp_path / "store") == contents(whole.store)


@pytest.mark.parametrize(("limit", "parts"), [(300, 0), (20_000, 0), (150_000, 3)])
def test_a_full_disk_loses_nothing(limit, parts, whole, source, key, tmp_path, here):
    """A limit on the size of files stands in for a disk without space: of a note, of a part, of a shard."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(UserError, match=r"cannot be written.*File too large.*the same command continues"):
            ingest(FakeSet(), source, tmp_path / "store", key_file=key)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len([*(tmp_path / "store" / UNFINISHED).glob("*.json")]) == parts
    with pytest.raises(UserError, match="is unfinished"):
        open_store(tmp_path / "store")
    ingest(FakeSet(), source, tmp_path / "store", key_file=key)
    assert contents(tmp_path / "store") == contents(whole.store)


def test_a_part_that_is_damaged_is_made_again(whole, source, key, tmp_path, here, monkeypatch):
    out = tmp_path / "store"
    with monkeypatch.context() as patch:
        patch.setattr(engine, "merge", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ingest(FakeSet(), source, out, key_file=key)
    part = next((out / UNFINISHED).glob("*.array_record"))
    damaged = bytearray(part.read_bytes())
    damaged[5000] ^= 1
    part.write_bytes(damaged)
    with pytest.raises(UserError, match="was damaged after it had been written"):
        ingest(FakeSet(), source, out, key_file=key)
    ingest(FakeSet(), source, out, key_file=key)
    assert contents(out) == contents(whole.store)


def test_only_what_has_changed_is_done_again(key, tmp_path, done):
    def stopped(counts: Counts) -> None:
        if counts.done == 3:
            raise KeyboardInterrupt

    mine, out = tmp_path / "scans", tmp_path / "store"
    for name in SUBJECTS:
        volume(mine / name / "0.nii", np.full((1, 4, 5), ord(name[0]), np.uint8))
    with pytest.raises(KeyboardInterrupt):
        ingest(FakeSet(), mine, out, key_file=key, progress=stopped)
    volume(mine / "Bob" / "0.nii", np.full((1, 4, 6), 7, np.uint8))
    ingest(FakeSet(), mine, out, key_file=key)
    assert done == [*SUBJECTS, "Bob"]
    assert {int(record.image.max()) for record in open_store(out).records()} == {ord("A"), 7, ord("E")}


def test_names_dates_and_uids_are_nowhere_in_the_store(key, tmp_path, here):
    """Not in its files, nor in what is compressed in them; while the reasons beside it may name files."""
    given = list(samples.records(2, slices=2))
    for subject in ("s0", "s1"):
        own = [each for each in given if each.subject == subject]
        scanner.write_dicom_series(own, tmp_path / "scans" / f"{scanner.PATIENT_ID}{subject}" / "HUSHACC")
    for folder in (tmp_path / "scans").iterdir():
        for file in (folder / "HUSHACC").iterdir():
            file.rename(folder / f"{scanner.PATIENT_ID}{file.name}")
        (folder / "HUSHACC").rmdir()
        (folder / "Hushname.txt").touch()
    outcome = ingest(FakeSet(), tmp_path / "scans", tmp_path / "store", key_file=key)
    assert outcome.records == len(given)
    assert all("Hushname.txt" in file for file in rejects_of(outcome))
    (shard,) = outcome.store.glob("*.array_record-*")
    for held in (*contents(outcome.store).values(), *read_file(shard)):
        for secret in (*scanner.SECRETS, "Hush", "HUSH", str(tmp_path)):
            assert secret.encode() not in held
    assert key.read_bytes().hex().encode() not in (outcome.store / "store.json").read_bytes()


def test_a_source_of_no_use_leaves_the_reasons_alone(key, tmp_path, here):
    (tmp_path / "scans" / "Ada").mkdir(parents=True)
    (tmp_path / "scans" / "Ada" / "a.txt").touch()
    with pytest.raises(UserError, match=r"None of the files of .* can be used: .*store.rejected.jsonl says why"):
        ingest(FakeSet(), tmp_path / "scans", tmp_path / "store", key_file=key)
    assert sorted(os.listdir(tmp_path)) == ["scans", "store.rejected.jsonl"]


def test_a_folder_of_other_things_is_refused_and_left_alone(source, key, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds something else"):
        ingest(FakeSet(), source, tmp_path / "mine", key_file=key)
    (tmp_path / "mine" / UNFINISHED).mkdir()
    with pytest.raises(UserError, match="holds something else"):
        ingest(FakeSet(), source, tmp_path / "mine", key_file=key)
    with pytest.raises(UserError, match="holds something else"):
        ingest(FakeSet(), source, tmp_path / "mine" / "thesis.tex", key_file=key)
    assert sorted(os.listdir(tmp_path / "mine")) == [UNFINISHED, "thesis.tex"]


def test_two_at_once_are_refused(source, key, tmp_path, here):
    def second(counts: Counts) -> None:
        with pytest.raises(UserError, match="Another `jaxssl data ingest` is at work"):
            ingest(FakeSet(), source, tmp_path / "store", key_file=key)

    assert ingest(FakeSet(), source, tmp_path / "store", key_file=key, progress=second).records == 18


def test_the_verb_counts_and_strict_ends_with_3(source, key, tmp_path, here, monkeypatch, capsys):
    monkeypatch.setattr(verb, "set_of", lambda *asked: FakeSet())
    words = ["data", "ingest", "fakeset", str(source), "--out", str(tmp_path / "store"), "--key", str(key)]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert f"18 images of 3 subjects, none with a mask, in {tmp_path / 'store'}." in said
    assert f"3 files left out, in whole or in part: see {tmp_path / 'store.rejected.jsonl'}." in said
    assert "\n  1 because " in said
    (tmp_path / "store.rejected.jsonl").unlink()
    assert main([*words, "--strict"]) == 3
    assert "It was complete already." in capsys.readouterr().err
    monkeypatch.setattr(engine, "run", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    words[5] = str(tmp_path / "other")
    assert main(words) == 130
    assert "The same command continues" in capsys.readouterr().err
