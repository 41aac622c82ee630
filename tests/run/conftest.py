"""One small phantom store for all tests of the verbs, and one run on it."""

import pytest

import jaxssl


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "phantom"
    return jaxssl.data_phantom(path, jaxssl.CineOptions(subjects=10, phases=2, slices=4, seed=3))


@pytest.fixture(scope="session")
def run(store, tmp_path_factory):
    """A run whose encoder is asked for embeddings, and never trained on."""
    return jaxssl.pretrain("mim:tiny", tmp_path_factory.mktemp("runs") / "mim", {"data.store": str(store)})
