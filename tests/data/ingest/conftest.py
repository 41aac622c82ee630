"""A source of three people, and the store that is made of it."""

from pathlib import Path

import numpy as np
import pytest
from fakeset import SUBJECTS, FakeSet, volume

from jaxssl.data.ingest import engine
from jaxssl.data.ingest.engine import Outcome, ingest


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """Three people: one deeper than 8 bits, one with a damaged file, a copy and a file that is none."""
    folder, rng = tmp_path_factory.mktemp("sources") / "scans", np.random.default_rng(0)
    for number, name in enumerate(SUBJECTS):
        kind = np.uint16 if name == "Bob" else np.uint8
        for file in range(2):
            pixels = rng.integers(0, np.iinfo(kind).max, (3, 70, 70)).astype(kind)
            volume(folder / name / f"{file}.nii", pixels, depth=100.0 * file + number)
    whole = (folder / "Eve" / "0.nii").read_bytes()
    (folder / "Eve" / "copy.nii").write_bytes(whole)
    (folder / "Eve" / "cut.nii").write_bytes(whole[:-1000])
    (folder / "Eve" / "notes.txt").write_text("Hello")
    return folder


@pytest.fixture(scope="session")
def key(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("keys") / "site.key"


@pytest.fixture
def here(monkeypatch):
    """Do the work in this process: what is tested is not the processes."""

    def run(work, jobs, processes):
        return (work(job, lambda file: None) for job in jobs)

    monkeypatch.setattr(engine, "run", run)


@pytest.fixture(scope="session")
def whole(source, key, tmp_path_factory) -> Outcome:
    """Made by two processes, never interrupted."""
    return ingest(FakeSet(), source, tmp_path_factory.mktemp("stores") / "whole", key_file=key, workers=2)
