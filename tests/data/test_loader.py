"""Batches are a function of (seed, t): not of threads, processes, or where the iterator began."""

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxssl.data import plan
from jaxssl.data.cache import Cache
from jaxssl.data.loader import Schedule, batches
from jaxssl.data.store import Store
from jaxssl.errors import UserError


def assert_same(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def paired(cache: Cache) -> plan.Plan:
    rows = plan.select(cache, subjects=("s0", "s1", "s2"))
    return plan.other_phase(cache, plan.other_subject(cache, plan.slices(rows), rows), rows)


def test_a_batch_holds_what_the_store_holds(cache: Cache, store: Store):
    rows = plan.select(cache, masked=True)
    codes = plan.label(cache, "group")
    batch = next(batches(cache, plan.slices(rows), batch=8, seed=5, labels=codes, masks=True, guests=("4ch",)))
    expected = plan.slices(rows).draw(5, 0).rows[:8]
    np.testing.assert_array_equal(batch["id"], expected)
    np.testing.assert_array_equal(batch["place"], np.arange(8))
    for i, row in enumerate(expected):
        record = store.record(int(row))
        np.testing.assert_array_equal(batch["image"][i], cache.images[row])
        np.testing.assert_array_equal(cache.to_original(row, batch["mask"][i]), record.mask)
        assert cache.names["subject"][batch["subject"][i]] == record.subject
        assert cache.names["study"][batch["study"][i]] == record.study
        assert cache.names["view"][batch["view"][i]] == record.view == "sax"
        assert batch["position"][i] == record.position
        assert batch["phase"][i] == record.phase / record.phases
        assert batch["label"][i] == {"dilated": 0, "normal": 1, None: -1}[record.labels.get("group")]
        assert batch["mean"][i] == cache.table["mean"][row]
        assert batch["std"][i] == cache.table["std"][row]
        np.testing.assert_allclose(batch["plane"]["origin"][i], cache.table["origin"][row], rtol=1e-6)
        np.testing.assert_array_equal(batch["plane"]["shape"][i], (24, 20))
        np.testing.assert_array_equal(batch["spacing"][i], (1.5, 1.5))
        guest = plan.select(cache, subjects=(record.subject,), views=("4ch",))[0]
        np.testing.assert_allclose(batch["guests"]["origin"][i, 0], cache.table["origin"][guest], rtol=1e-6)
    wide = {leaf.dtype for leaf in jax.tree.leaves(batch)} - {np.dtype(t) for t in ("f4", "i4", "u1", "?")}
    assert not wide


def test_fields_that_were_not_asked_for_are_not_there(cache: Cache):
    batch = next(batches(cache, plan.slices(plan.select(cache)), batch=4, seed=0))
    assert not {"mask", "guests", "partners"} & batch.keys()
    np.testing.assert_array_equal(batch["label"], -1)


def test_without_pixels_everything_else_is_the_same(cache: Cache):
    labelled = plan.slices(plan.select(cache, masked=True))
    whole = next(batches(cache, labelled, batch=8, seed=5, masks=True))
    light = next(batches(cache, labelled, batch=8, seed=5, masks=True, pixels=False))
    assert whole.keys() - light.keys() == {"image", "mask"}
    assert_same(light, {name: whole[name] for name in light})


def test_partners_come_with_the_same_fields(cache: Cache, paired: plan.Plan):
    batch = next(batches(cache, paired, batch=6, seed=1, guests=("4ch",)))
    rows, partners = paired.draw(1, 0)
    assert batch["partners"].keys() == partners.keys() == {"phase", "subject"}
    for kind, partner in batch["partners"].items():
        np.testing.assert_array_equal(partner["id"], partners[kind][:6])
        np.testing.assert_array_equal(partner["image"], cache.images[partners[kind][:6]])
        assert partner.keys() == batch.keys() - {"partners"}
    np.testing.assert_array_equal(batch["id"], rows[:6])


@given(size=st.integers(1, 18), seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 1000))
def test_an_epoch_has_no_sample_twice(cache: Cache, size, seed, epoch):
    twenty = plan.select(cache, views=("4ch",), subjects=("s0", "s1", "s2", "s3", "s4"))
    schedule = Schedule(plan.slices(twenty), size, seed)
    n = 20 // size
    rows = np.concatenate([schedule(epoch * n + i).rows for i in range(n)])
    assert len(rows) == n * size == len(set(rows))


def test_epochs_follow_each_other_and_drop_different_remainders(cache: Cache):
    every = plan.slices(plan.select(cache, subjects=("s0",)))
    taken = list(batches(cache, every, batch=5, seed=3, steps=300))
    assert len(taken) == 300
    for t in (0, 2, 3, 299):
        epoch, place = divmod(t, 3)
        np.testing.assert_array_equal(taken[t]["id"], every.draw(3, epoch).rows[place * 5 : place * 5 + 5])
    counts = np.bincount(np.concatenate([batch["id"] for batch in taken]))
    assert counts.min() > 80  # 1500 draws over 16 images, 15 of 16 in each of 100 epochs
    assert counts.max() <= 100


@pytest.mark.parametrize("threads", [2, 16])
def test_threads_do_not_change_the_order(cache: Cache, paired: plan.Plan, threads):
    plain = batches(cache, paired, batch=10, seed=2, steps=30, threads=0)
    threaded = batches(cache, paired, batch=10, seed=2, steps=30, threads=threads)
    for a, b in zip(plain, threaded, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("count", [2, 3])
def test_parts_of_processes_make_the_whole(cache: Cache, paired: plan.Plan, count):
    whole = batches(cache, paired, batch=12, seed=2, steps=9, guests=("4ch",))
    own = np.split(np.arange(12), count)
    parts = [batches(cache, paired, batch=12, seed=2, steps=9, guests=("4ch",), places=places) for places in own]
    for batch, *pieces in zip(whole, *parts, strict=True):
        assert_same(batch, jax.tree.map(lambda *leaves: np.concatenate(leaves), *pieces))
        assert len(pieces[0]["id"]) == 12 // count


@settings(max_examples=20)
@given(t=st.integers(0, 40), threads=st.sampled_from([0, 2]))
def test_the_state_is_t(cache: Cache, paired: plan.Plan, t, threads):
    """Starting at t, running up to t, and restoring grain's own state after t batches are the same."""
    running = batches(cache, paired, batch=10, seed=4, threads=threads)
    for _ in range(t):
        next(running)
    state = running.get_state()
    assert state == {"next_index": t}
    restored = batches(cache, paired, batch=10, seed=4, threads=threads)
    restored.set_state(state)
    started = batches(cache, paired, batch=10, seed=4, start=t, threads=threads)
    for _ in range(3):
        batch = next(running)
        assert_same(batch, next(restored))
        assert_same(batch, next(started))


def test_seeds_differ(cache: Cache, paired: plan.Plan):
    a, b = (next(batches(cache, paired, batch=10, seed=seed)) for seed in (0, 1))
    assert not np.array_equal(a["id"], b["id"])


def test_what_cannot_be_loaded_is_refused(cache: Cache):
    every = plan.slices(plan.select(cache, subjects=("s0",)))
    with pytest.raises(UserError, match="batch of 17 is larger than the 16 samples"):
        batches(cache, every, batch=17, seed=0)
    with pytest.raises(UserError, match=r"asks for view '2ch', which .* lacks; it has 4ch, sax"):
        batches(cache, every, batch=4, seed=0, guests=("2ch",))
    with pytest.raises(UserError, match="masked=True"):
        next(batches(cache, every, batch=16, seed=0, masks=True))
