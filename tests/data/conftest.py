"""One store and its cache, shared by the tests that only read."""

import pytest
import samples

from jaxssl.data.cache import Cache, open_cache
from jaxssl.data.grid import Layout
from jaxssl.data.store import Store, write

ABOUT = {"name": "discs", "description": "Random pixels and discs (synthetic).", "licence": "none"}


@pytest.fixture
def about() -> dict[str, str]:
    return dict(ABOUT)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six subjects, each with three slices and a long-axis view of four frames: 96 records."""
    return write(samples.records(subjects=6), tmp_path_factory.mktemp("stores") / "discs", **ABOUT)


@pytest.fixture(scope="session")
def cache(store: Store) -> Cache:
    return open_cache(store, Layout((24, 20), 1.5))
