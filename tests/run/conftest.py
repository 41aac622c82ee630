"""One small phantom store for all tests of the verbs, one run on it, and a study whose verbs pretend."""

from pathlib import Path

import pytest
import sweeping

import jaxssl


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "phantom"
    return jaxssl.data_phantom(path, jaxssl.CineOptions(subjects=10, phases=2, slices=4, seed=3))


@pytest.fixture(scope="session")
def run(store, tmp_path_factory):
    """A run whose encoder is asked for embeddings, and never trained on."""
    return jaxssl.pretrain("mim:tiny", tmp_path_factory.mktemp("runs") / "mim", {"data.store": str(store)})


@pytest.fixture
def study(tmp_path) -> Path:
    path = tmp_path / "study.py"
    path.write_text(sweeping.STUDY)
    return path


@pytest.fixture
def journal(tmp_path, monkeypatch) -> Path:
    """Where the verbs, which only pretend here, write down what is asked of them."""
    path = tmp_path / "journal"
    sweeping.pretend(monkeypatch, path)
    return path
