"""Embedding rows of a cache: order, filled-up batches, one compilation, statistics of the subject."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import samples

from jaxssl.data.cache import Cache, open_cache
from jaxssl.data.grid import Layout
from jaxssl.data.store import Store, write
from jaxssl.evaluate.embed import embed
from jaxssl.methods.parts import standardised


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("stores") / "discs"
    records = samples.records(subjects=3, slices=2, phases=2, dtype="uint16")
    return write(records, path, name="discs", description="Random pixels and discs (synthetic).", licence="none")


@pytest.fixture(scope="module")
def cache(store: Store) -> Cache:
    return open_cache(store, Layout((20, 20), 1.5))


@jax.jit
def encode(batch):
    images = standardised(batch)
    return jnp.stack([images.mean((1, 2, 3)), images.max((1, 2, 3)), batch["id"].astype(float)], axis=1)


def expected(store, cache, row):
    """From the store's own pixels: mean and maximum in units of all images of the row's subject."""
    subject = store.record(row).subject
    pixels = np.concatenate([each.image.ravel() for each in store.records() if each.subject == subject]).astype(float)
    image = (cache.images[row] - pixels.mean()) / pixels.std()
    return [image.mean(), image.max(), row]


@pytest.mark.parametrize("batch", [1, 4, 9, 18, 32])
def test_every_batch_size_gives_each_row_its_own_embedding_in_the_order_asked(store, cache, batch):
    rows = np.random.default_rng(0).permutation(len(cache))[:9]
    rows = np.append(rows, rows[2])
    found = embed(encode, cache, rows, batch)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected(store, cache, row) for row in rows], rtol=1e-5, atol=1e-5)


def test_a_function_is_compiled_once_and_always_sees_whole_batches(cache):
    seen = []

    @jax.jit
    def watched(batch):
        seen.append(batch["image"].shape)
        assert "mask" not in batch
        return batch["position"][:, None]

    embed(watched, cache, np.arange(11), 4)
    assert seen == [(4, 20, 20, 1)]


def test_half_precision_comes_back_as_float32(cache):
    found = embed(lambda batch: batch["id"][:, None].astype(jnp.bfloat16) / 3, cache, np.arange(5), 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], np.asarray(jnp.arange(5).astype(jnp.bfloat16) / 3, np.float32))
