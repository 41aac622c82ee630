"""Where a store may lie, what may pass, and what others do meanwhile."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from fakeset import FakeSet, volume
from rich.console import Console

from jaxssl.data import formats
from jaxssl.data.check import Kind, check_store
from jaxssl.data.formats import Unreadable
from jaxssl.data.ingest import engine, loading, merge
from jaxssl.data.ingest.engine import Outcome, ingest
from jaxssl.data.store import UNFINISHED, open_store
from jaxssl.errors import UserError
from jaxssl.run.ingest import _say


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Do the work in this process: what is tested is not the processes."""
    monkeypatch.setattr(engine, "run", lambda work, jobs, processes: (work(job, lambda file: None) for job in jobs))


@pytest.fixture
def source(tmp_path) -> Path:
    for name in ("Ada", "Bob"):
        volume(tmp_path / "scans" / name / "0.nii", np.full((1, 4, 5), ord(name[0]), np.uint8))
    return tmp_path / "scans"


def made(source: Path, out: Path | None = None) -> Outcome:
    return ingest(FakeSet(), source, out or source.parent / "store", key_file=source.parent / "key")


@pytest.mark.parametrize("inside", [".", "store", "deep/../store"])
def test_a_store_within_its_source_is_refused(inside, source):
    with pytest.raises(UserError, match="where it would be read as well"):
        made(source, source / inside)
    assert sorted(os.listdir(source)) == ["Ada", "Bob"]


def test_a_store_may_be_the_folder_that_one_is_in(source, monkeypatch):
    (source.parent / "mine").mkdir()
    monkeypatch.chdir(source.parent / "mine")
    outcome = made(source, Path("."))
    assert outcome.store == source.parent / "mine"
    assert outcome.rejects == source.parent / "mine.rejected.jsonl"
    assert len(open_store(".")) == 2


@pytest.fixture
def failing(monkeypatch):
    """Reading one person's files ends in this way; none mends it."""

    def set_to(failure: Exception | None) -> None:
        def read(path):
            if failure and path.parent.name == "Bob":
                raise failure
            return formats.read(path)

        monkeypatch.setattr(loading, "read", read)

    return set_to


def test_what_fails_for_now_is_counted_and_tried_again(source, failing, capsys, monkeypatch):
    failing(Unreadable("it is a video: pip install it", passing=True))
    with monkeypatch.context() as patch:
        patch.setattr(merge, "finish", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made(source)
    outcome = made(source)
    assert (outcome.records, outcome.rejected, outcome.passing) == (1, 1, 1)
    assert stat.S_IMODE(outcome.rejects.stat().st_mode) == 0o600
    again = made(source)
    assert (again.complete_before, again.rejected, again.passing) == (True, 1, 1)
    _say(Console(width=500, stderr=True), again)
    assert "1 of them may be of use another time" in capsys.readouterr().err

    other = source.parent / "other"
    with monkeypatch.context() as patch:
        patch.setattr(merge, "finish", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made(source, other)
    failing(None)
    mended = made(source, other)
    assert (mended.records, mended.rejected, mended.passing) == (2, 0, 0)


def test_what_is_damaged_is_not_tried_again(source, failing, monkeypatch):
    failing(Unreadable("it is cut off"))
    with monkeypatch.context() as patch:
        patch.setattr(merge, "finish", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made(source)
    monkeypatch.setattr(engine, "PartWriter", _idle(engine.PartWriter))
    outcome = made(source)
    assert (outcome.records, outcome.rejected, outcome.passing) == (1, 1, 0)


def _idle(kind: type) -> type:
    class Idle(kind):
        def __call__(self, job, reading):
            raise AssertionError("all parts are there")

    return Idle


def test_what_a_process_refused_may_be_of_use_another_time(source, monkeypatch):
    """A file at which one hung or died: the machine may have been busy with something else."""

    def run(work, jobs, processes):
        for job in jobs:
            file = job.files()[0]
            refused = {file: "it takes more than 10 s to read"} if file.parent.name == "Bob" else {}
            yield work(engine.replace(job, refused=refused), lambda file: None)

    monkeypatch.setattr(engine, "run", run)
    outcome = made(source)
    assert (outcome.records, outcome.rejected, outcome.passing) == (1, 1, 1)


def test_a_lack_of_memory_ends_the_ingest_and_nobody_is_lost(source, monkeypatch):
    def no_room(images):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("jaxssl.data.ingest.records.depth_of", no_room)
        with pytest.raises(UserError, match=r"not memory enough .* with fewer --workers the same command continues"):
            made(source)
    assert made(source).records == 2


def test_a_store_that_another_finished_meanwhile_is_taken_as_it_is(source, monkeypatch):
    listed = engine.sources_of

    def slowly(*given):
        with monkeypatch.context() as patch:
            patch.setattr(engine, "sources_of", listed)
            made(source)
        return listed(*given)

    monkeypatch.setattr(engine, "sources_of", slowly)
    outcome = made(source)
    assert (outcome.records, outcome.complete_before) == (2, True)
    assert not (outcome.store / UNFINISHED).exists()


def test_parts_are_for_their_owner_and_found_where_they_are_left(source, monkeypatch):
    kept = []

    def killed(folder, **options):
        kept.append(stat.S_IMODE(folder.stat().st_mode))
        raise KeyboardInterrupt

    (source / "Bob" / "Hushname.txt").touch()
    with monkeypatch.context() as patch:
        patch.setattr(merge.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            made(source)
    assert kept == [0o700]
    found = check_store(source.parent / "store")
    assert found.examples[Kind.REMAINS] == [UNFINISHED]
    assert made(source).complete_before
    assert Kind.REMAINS not in check_store(source.parent / "store").counts


def test_a_mask_that_cannot_be_read_for_now_may_be_another_time(source):
    reasons, passing = [], []
    hearers = loading.Hearers(lambda file, why: reasons.append(why), passing.append)
    hearers.refuse(Path("a"), Unreadable("it is gone", errno.EIO in formats.PASSING), "; kept without it")
    hearers.refuse(Path("b"), Unreadable("it is damaged"))
    assert (reasons, passing) == (["it is gone; kept without it", "it is damaged"], [Path("a")])
