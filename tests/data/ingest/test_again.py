"""A finished store is asked for again: by the same files, by copies of them, and by others."""

import os
import shutil
from pathlib import Path

import pytest
from fakeset import Breaking, FakeSet, contents

from jaxssl.data.ingest import engine, sources
from jaxssl.data.ingest.engine import Counts, ingest
from jaxssl.errors import UserError


def test_a_finished_store_is_left_as_it_is(whole, source, key, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "run", None)
    before = contents(whole.store)
    again = ingest(FakeSet(), source, whole.store, key_file=key)
    assert again.complete_before
    assert (again.records, again.subjects, again.rejected) == (18, 3, 3)
    with pytest.raises(UserError, match="of other files, by another key"):
        ingest(FakeSet(), source, whole.store, key_file=tmp_path / "other.key")
    with monkeypatch.context() as patch:
        patch.setattr(sources, "content", None)  # nobody reads files whose names or sizes are others
        (source / "Bob" / "new.nii").touch()
        with pytest.raises(UserError, match="of other files, by another key"):
            ingest(FakeSet(), source, whole.store, key_file=key)
        (source / "Bob" / "new.nii").unlink()
    with pytest.raises(UserError, match="of other files, by another key"):
        ingest(FakeSet({"Bob": Breaking(0, "dies")}), source, whole.store, key_file=key)
    assert contents(whole.store) == before


@pytest.fixture
def copied(source, tmp_path) -> Path:
    """The same files at another time."""
    shutil.copytree(source, tmp_path / "copied", copy_function=shutil.copyfile)
    for file in (tmp_path / "copied").rglob("*.nii"):
        os.utime(file, (1e9, 1e9))
    return tmp_path / "copied"


def test_a_copy_of_the_files_is_known_by_what_is_in_it(whole, key, copied, monkeypatch):
    monkeypatch.setattr(engine, "run", None)
    before, heard = contents(whole.store), []
    again = ingest(FakeSet(), copied, whole.store, key_file=key, progress=heard.append)
    assert again.complete_before
    assert heard == [Counts(3, done) for done in (1, 2, 3)]
    assert contents(whole.store) == before


def test_a_store_that_is_made_of_a_copy_is_the_same_but_for_the_times(whole, key, copied, tmp_path, here):
    made = contents(ingest(FakeSet(), copied, tmp_path / "store", key_file=key).store)
    assert {name for name, content in contents(whole.store).items() if made.pop(name) != content} == {"times.txt"}
    assert not made


def test_a_pixel_that_has_changed_is_noticed_and_a_time_in_vain_is_not(whole, key, copied):
    file = copied / "Bob" / "1.nii"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="of other files, by another key"):
        ingest(FakeSet(), copied, whole.store, key_file=key)
    content[-1] ^= 1
    file.write_bytes(content)
    assert ingest(FakeSet(), copied, whole.store, key_file=key).complete_before
