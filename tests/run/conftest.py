"""One small phantom store for all tests of the verbs."""

import pytest

import jaxssl


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "phantom"
    return jaxssl.data_phantom(path, jaxssl.CineOptions(subjects=10, phases=2, slices=4, seed=3))
