"""What features are like, against closed forms, plain loops over all pairs, and the log of training."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma, iv

from jaxssl.augment.options import Augment
from jaxssl.data.cache import Cache, open_cache
from jaxssl.data.grid import Layout
from jaxssl.data.store import write
from jaxssl.evaluate import representation
from jaxssl.evaluate.representation import (
    alignment,
    effective_rank,
    in_two_views,
    nearest,
    rankme,
    represent,
    uniformity,
)
from jaxssl.methods.parts import spread, standardised

RNG = np.random.default_rng(0)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def of_rank(rank: int, rows: int = 60, dim: int = 12, seed: int = 0) -> np.ndarray:
    """Embeddings whose singular values are `rank` times the same number."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(size, rank)))[0] for size in (rows, dim))
    return (7 * left @ right.T).astype(np.float32)


def test_directions_that_are_used_alike_are_counted():
    for rank in (1, 3, 12):
        assert rankme(of_rank(rank)) == pytest.approx(rank, rel=1e-4)
    vertices = np.concatenate([np.eye(5, 9), -np.eye(5, 9)])
    assert effective_rank(3 * vertices) == pytest.approx(5, rel=1e-12)
    assert rankme(vertices) == pytest.approx(5, rel=1e-12)


def test_isotropic_features_fill_the_sphere():
    """Of a uniform direction x and a fixed y, E exp(4 x.y) = gamma(d/2) (2/4)^(d/2 - 1) I_(d/2 - 1)(4)."""
    dim = 8
    gaussian = np.random.default_rng(1).normal(size=(3000, dim))
    order = dim / 2 - 1
    assert uniformity(gaussian) == pytest.approx(np.log(gamma(order + 1) * 0.5**order * iv(order, 4)) - 4, abs=0.01)
    assert effective_rank(gaussian) == pytest.approx(dim, rel=0.01)
    assert rankme(gaussian) == pytest.approx(dim, rel=0.01)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_equal_to_all_pairs_and_to_the_whole_spectrum(seed, rows, dim):
    rng = np.random.default_rng(seed)
    table = (rng.normal(size=(rows, dim)) * rng.uniform(0.1, 3, dim) + rng.normal(size=dim)).astype(np.float32)
    directions = unit(table.astype(float))
    pairs = [np.exp(-2 * np.sum((directions[i] - directions[j]) ** 2)) for i in range(rows) for j in range(i)]
    assert uniformity(table) == pytest.approx(np.log(np.mean(pairs)), rel=1e-9, abs=1e-12)
    values = np.linalg.svd(table.astype(float), compute_uv=False)
    shares = values[values > 0] / values.sum()
    assert rankme(table) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))), rel=1e-9)
    variances = np.linalg.eigvalsh(np.cov(directions, rowvar=False, bias=True).reshape(dim, dim))
    if dim > 1:
        assert effective_rank(table) == pytest.approx(variances.sum() ** 2 / (variances**2).sum(), rel=1e-6)
    other = rng.normal(size=(rows, dim)).astype(np.float32)
    wanted = np.mean([np.sum((u - v) ** 2) for u, v in zip(directions, unit(other.astype(float)), strict=True)])
    assert alignment(table, other) == pytest.approx(wanted, rel=1e-12)


def test_the_effective_rank_is_that_of_the_log_of_training():
    table = RNG.normal(size=(50, 7)).astype(np.float32) * np.arange(1, 8)
    assert effective_rank(table) == pytest.approx(float(spread(jnp.asarray(table))["effective_rank"]), rel=1e-4)


def test_views_that_are_turned_by_an_angle():
    angle = 0.3
    flat = unit(RNG.normal(size=(20, 2)))
    turned = flat @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert alignment(flat, 5 * turned) == pytest.approx(2 - 2 * np.cos(angle), rel=1e-12)
    assert alignment(flat, -flat) == pytest.approx(4, rel=1e-12)


@pytest.mark.parametrize("value", [0.1, 1e-30, 3e20])
def test_collapsed_features_have_numbers_too(value):
    same = np.full((300, 6), value, np.float32) * np.arange(1, 7, dtype=np.float32)
    assert rankme(same) == pytest.approx(1, rel=1e-9)
    assert effective_rank(same) == 0
    assert uniformity(same) == pytest.approx(0, abs=1e-9)
    assert alignment(same, same) == 0
    nothing = np.zeros((4, 3), np.float32)
    assert (rankme(nothing), effective_rank(nothing), uniformity(nothing)) == (0, 0, 0)
    assert uniformity(nothing[:1]) is None


@pytest.mark.parametrize("numbers", [1, 40, 333])
def test_the_size_of_a_block_changes_nothing(monkeypatch, numbers):
    table, other = RNG.normal(size=(2, 37, 9)).astype(np.float32)
    subjects = np.arange(37) // 4

    def all_of_them():
        rows, cosines = nearest(table[:3], subjects[:3], other, subjects)
        return [rankme(table), effective_rank(table), uniformity(table), alignment(table, other), rows, cosines]

    whole = all_of_them()
    monkeypatch.setattr(representation, "NUMBERS", numbers)
    for found, wanted in zip(all_of_them(), whole, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(2, 8))
@settings(max_examples=40, deadline=None)
def test_neighbours_are_the_nearest_images_of_other_subjects(seed, rows, people):
    rng = np.random.default_rng(seed)
    # Whole numbers: many are equally near.
    table = rng.integers(1, 4, (rows, 2)).astype(np.float32)
    subjects = np.array([f"s{i}" for i in rng.integers(0, people, rows)])
    query, owners = rng.integers(1, 4, (3, 2)).astype(np.float32), np.array(["s0", "s1", "elsewhere"])
    found, cosines = nearest(query, owners, table, subjects, k=3)
    most = min(3, *(len(set(subjects) - {owner}) for owner in owners))
    assert found.shape == cosines.shape == (3, most)
    for one, owner, places, near in zip(query, owners, found, cosines, strict=True):
        own = unit(table.astype(float)) @ unit(one[None].astype(float))[0]
        best = {who: max(c for c, s in zip(own, subjects, strict=True) if s == who) for who in set(subjects) - {owner}}
        np.testing.assert_allclose(near, sorted(best.values(), reverse=True)[:most], rtol=1e-9)
        np.testing.assert_allclose(own[places], near, rtol=1e-9)
        assert len(set(subjects[places])) == most
        assert owner not in subjects[places]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    records = samples.records(subjects=6, slices=2, phases=2)
    path = tmp_path_factory.mktemp("stores") / "discs"
    store = write(records, path, name="discs", description="Random pixels and discs (synthetic).", licence="none")
    return open_cache(store, Layout((20, 20), 1.5))


@jax.jit
def encode(batch):
    return standardised(batch).reshape(len(batch["image"]), 20, 20)[:, ::5, ::5].reshape(-1, 16)


def table_of(cache):
    batch = {"image": cache.images, "mean": cache.table["mean"], "std": cache.table["std"]}
    names = np.asarray(cache.names["subject"])[cache.table["subject"]]
    return {"embedding": np.asarray(encode(batch)), "id": np.arange(len(cache)), "subject": names}


def test_views_of_an_image_do_not_depend_on_the_others(cache):
    rows = np.array([7, 2, 11])
    first, second = in_two_views(encode, cache, rows, batch=2)
    np.testing.assert_allclose(in_two_views(encode, cache, rows[1:], batch=5), [first[1:], second[1:]], rtol=1e-5)
    assert np.abs(first - second).max() > 0.1
    unchanged = Augment(0, 0, (1, 1), 0, noise=0, blur=0, contrast=(1, 1), brightness=0, gamma=(1, 1))
    for same in in_two_views(encode, cache, rows, 3, unchanged):
        np.testing.assert_allclose(same, table_of(cache)["embedding"][rows], atol=1e-4)


def test_a_run_is_described_by_its_test_subjects(cache):
    arrays, train, test = table_of(cache), ("s0", "s1", "s2", "s3"), ("s4", "s5")
    found = represent(encode, cache, arrays, train=train, test=test, batch=4)
    measures = json.loads(json.dumps(found.measures))
    own = np.isin(arrays["subject"], test)
    assert (measures["images"], measures["subjects"], measures["dim"]) == (12, 2, 16)
    assert measures["rankme"] == rankme(arrays["embedding"][own])
    assert measures["effective_rank"] == effective_rank(arrays["embedding"][own])
    assert measures["uniformity"] == uniformity(arrays["embedding"][own])
    assert measures["alignment"] == alignment(*in_two_views(encode, cache, np.flatnonzero(own), 5))

    query, near = found.pictures["neighbours/query"], found.pictures["neighbours/found"]
    assert (query.shape, near.shape) == ((2, 20, 20), (2, 4, 20, 20))
    assert [entry["subject"] for entry in measures["neighbours"]] == ["s4", "s5"]
    for entry, image, others in zip(measures["neighbours"], query, near, strict=True):
        assert_shows(cache, entry, image)
        assert sorted(other["subject"] for other in entry["found"]) == sorted(train)
        for other, shown in zip(entry["found"], others, strict=True):
            assert_shows(cache, other, shown)
    assert measures["neighbours"][0]["labels"] == {"group": "normal"}
    assert measures["neighbours"][1]["labels"] == {"group": ""}


def assert_shows(cache, entry, image):
    """The picture is the image that the names mean, in 0..1."""
    (row,) = [
        row
        for row in range(len(cache))
        if all(cache.names[key][cache.table[key][row]] == entry[key] for key in ("subject", "view", "moment"))
        and (cache.table["slice"][row], cache.table["phase"][row]) == (entry["slice"], entry["phase"])
    ]
    pixels = cache.images[row, ..., 0].astype(float)
    np.testing.assert_allclose(image, (pixels - pixels.min()) / (pixels.max() - pixels.min()), atol=1e-6)
