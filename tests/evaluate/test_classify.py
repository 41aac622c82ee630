"""Answers joined to patients, by a predictor whose answers are known."""

import jax.numpy as jnp
import numpy as np
import pytest
import samples

from jaxssl.data import plan
from jaxssl.data.cache import Cache, open_cache
from jaxssl.data.grid import Layout
from jaxssl.data.store import write
from jaxssl.evaluate.classify import as_json, cases_of, classify_subjects, count_by_class, unit_of


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    records = samples.records(subjects=3, slices=3, phases=3)
    store = write(
        records, tmp_path_factory.mktemp("s") / "discs", name="discs", description="Random (synthetic).", licence="none"
    )
    return open_cache(store, Layout((24, 20), 1.5))


def test_whose_a_label_is():
    subjects = np.array([4, 4, 7, 7, 9])
    assert unit_of(subjects, np.array([1, 1, 0, 0, 1])) == "subject"
    assert unit_of(subjects, np.array([1, -1, 0, 0, -1])) == "subject"
    assert unit_of(subjects, np.array([1, 1, 0, 2, 1])) == "image"


def test_a_subject_counts_once_where_the_label_is_theirs():
    subjects, codes = np.array([4, 4, 4, 7, 7, 9]), np.array([1, -1, 1, 0, 0, -1])
    assert count_by_class(subjects, codes, "subject", 3).tolist() == [1, 1, 0]
    assert count_by_class(subjects, codes, "image", 3).tolist() == [2, 2, 0]


def test_a_patients_answer_is_the_mean_over_their_samples():
    subjects, truth = np.array(["b", "a", "b", "b"]), np.array([1, 0, 1, 1])
    answers = np.array([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7], [0.0, 1.0]])
    found = cases_of(subjects, truth, answers, "subject")
    assert found.subjects.tolist() == ["a", "b"]
    assert found.truth.tolist() == [0, 1]
    np.testing.assert_allclose(found.probabilities, [[0.5, 0.5], [0.4, 0.6]])
    images = cases_of(subjects, truth, answers, "image")
    np.testing.assert_array_equal(images.probabilities, answers)
    assert as_json(found)[0] == {"subject": "a", "truth": 0, "probabilities": [0.5, 0.5]}


@pytest.mark.parametrize("batch", [1, 4, 50])
@pytest.mark.parametrize("pairs", [False, True])
def test_every_sample_is_asked_once_with_its_partner_and_patients_are_averaged(cache, batch, pairs):
    """The answer depends on the rows asked about, so that a sample lost, doubled or mispaired would show."""
    rows = plan.select(cache, views=("sax",), moments=("ED", "ES"))
    asked = plan.ed_es_pairs(cache, rows) if pairs else plan.Samples(rows)
    codes = cache.table["subject"] % 2
    if pairs:
        moments = [cache.table["moment"][each] for each in (asked.rows, asked.partners["es"])]
        assert [np.unique(each).tolist() for each in moments] == [[1], [2]]
        for key in ("subject", "view", "slice"):
            np.testing.assert_array_equal(cache.table[key][asked.rows], cache.table[key][asked.partners["es"]])

    def answer(ids, partners):
        first = (7 * ids + 3 * partners) % 11 / 11
        return np.stack([first, 1 - first], axis=1)

    def predict(batch):
        assert "mask" not in batch
        np.testing.assert_array_equal(batch["image"], cache.images[batch["id"]])
        assert (batch["label"] == -1).all()
        partners = batch["partners"]["es"]["id"] if pairs else np.zeros_like(batch["id"])
        return jnp.asarray(answer(batch["id"], partners))

    found = classify_subjects(predict, cache, asked, codes, masks=False, batch=batch)
    everything = answer(asked.rows, asked.partners.get("es", 0 * asked.rows))
    assert found.subjects.tolist() == ["s0", "s1", "s2"]
    for number, name in enumerate(found.subjects):
        own = cache.table["subject"][asked.rows] == cache.names["subject"].index(name)
        assert own.sum() == (3 if pairs else 6)
        np.testing.assert_allclose(found.probabilities[number], everything[own].mean(0), rtol=1e-6)
        assert found.truth[number] == cache.names["subject"].index(name) % 2


def test_samples_without_a_label_are_left_out_and_an_image_may_have_its_own(cache):
    rows = plan.select(cache, views=("sax",), moments=("ED", "ES"))
    codes = np.where(np.arange(len(cache)) % 3, np.arange(len(cache)) % 2, -1)
    predict = lambda batch: jnp.asarray(np.eye(2)[batch["id"] % 2])  # noqa: E731
    found = classify_subjects(predict, cache, plan.Samples(rows), codes, masks=False, batch=4)
    known = rows[codes[rows] >= 0]
    assert found.truth.tolist() == codes[known].tolist()
    np.testing.assert_array_equal(found.probabilities, np.eye(2)[known % 2])


def test_masks_come_to_those_who_ask_for_them(cache):
    rows = plan.select(cache, views=("sax",), moments=("ED", "ES"))

    def predict(batch):
        for each, ids in ((batch, batch["id"]), (batch["partners"]["es"], batch["partners"]["es"]["id"])):
            np.testing.assert_array_equal(each["mask"], cache.masks[ids])
        return jnp.full((len(batch["id"]), 2), 0.5)

    codes = cache.table["subject"] % 2
    assert len(classify_subjects(predict, cache, plan.ed_es_pairs(cache, rows), codes, masks=True, batch=4).truth) == 3
