"""Plans name the right rows, each epoch anew, and are functions of (seed, epoch) alone."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxssl.data import draws, plan
from jaxssl.data.cache import Cache
from jaxssl.errors import UserError

seeds, epochs = st.integers(0, 2**32 - 1), st.integers(0, 10**6)


def column(cache: Cache, name: str, rows: np.ndarray) -> list[str]:
    return [cache.names[name][code] for code in cache.table[name][rows]]


def test_select_keeps_exactly_what_was_asked_for(cache: Cache):
    np.testing.assert_array_equal(plan.select(cache), np.arange(96))
    rows = plan.select(cache, subjects=("s1", "s4"), views=("sax",), moments=("ED", "ES"))
    expected = [s * 16 + i * 4 + f for s in (1, 4) for i in range(3) for f in (0, 2)]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(plan.select(cache, subjects=("s1", "s4"), masked=True), expected)
    assert set(column(cache, "subject", plan.select(cache, labelled="group"))) == {"s0", "s2", "s4"}
    assert set(cache.table["moment"][plan.select(cache, moments=("",))]) == {0}


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"subjects": ("s9",)}, "no subject 's9'"),
        ({"views": ("psax",)}, "no view 'psax'; it has '4ch', 'sax'"),
        ({"moments": ("mid",)}, "no moment 'mid'"),
        ({"labelled": "vendor"}, "no label 'vendor'; it has group"),
        ({"views": ("4ch",), "masked": True}, "ask for less"),
        ({"subjects": ()}, "ask for less"),
    ],
)
def test_what_is_not_there_is_refused(cache: Cache, choice, complaint):
    with pytest.raises(UserError, match=complaint):
        plan.select(cache, **choice)


def test_a_store_without_masks_is_said_to_be_one(cache: Cache):
    bare = replace(cache, table={**cache.table, "has_mask": np.zeros(len(cache), bool)})
    with pytest.raises(UserError, match="has no masks, which are asked for"):
        plan.select(bare, masked=True)


@given(seed=seeds, epoch=epochs)
def test_slices_is_every_row_once_in_a_new_order(cache: Cache, seed, epoch):
    rows = plan.select(cache, views=("sax",))
    every = plan.slices(rows)
    one, again, later = every.draw(seed, epoch), every.draw(seed, epoch), every.draw(seed, epoch + 1)
    assert every.length == len(rows) == 72
    assert one.partners == {}
    np.testing.assert_array_equal(np.sort(one.rows), rows)
    np.testing.assert_array_equal(one.rows, again.rows)
    assert not np.array_equal(one.rows, later.rows)
    assert not np.array_equal(one.rows, every.draw(seed + 1, epoch).rows)


@given(seed=seeds, epoch=epochs)
def test_by_subject_is_every_row_once_and_a_subject_at_a_time(cache: Cache, seed, epoch):
    # Of the second there are fewer, and the third has none.
    rows = np.delete(plan.select(cache), [*range(16, 20), *range(32, 48)])
    every = plan.by_subject(cache, rows)
    one, later = every.draw(seed, epoch).rows, every.draw(seed, epoch + 1).rows
    assert every.length == len(rows) == 76
    np.testing.assert_array_equal(np.sort(one), rows)
    np.testing.assert_array_equal(one, every.draw(seed, epoch).rows)
    subjects = cache.table["subject"][one]
    assert np.count_nonzero(np.diff(subjects)) == 5 - 1
    # Sixteen images, or twelve, are in order once in half a milliard times.
    assert not np.array_equal(np.sort(one[:12]), one[:12])
    assert not np.array_equal(one, later)


def test_by_subject_takes_subjects_in_every_order(cache: Cache):
    every = plan.by_subject(cache, plan.select(cache))
    first = Counter(cache.table["subject"][every.draw(0, epoch).rows[0]] for epoch in range(600))
    assert len(first) == 6
    assert min(first.values()) > 60  # 100 expected, standard deviation 9


@given(seed=seeds, epoch=epochs)
def test_one_per_subject_has_each_subject_once(cache: Cache, seed, epoch):
    rows = plan.select(cache, views=("sax",), moments=("ED",))
    samples = plan.one_per_subject(cache, rows).draw(seed, epoch)
    assert sorted(column(cache, "subject", samples.rows)) == [f"s{i}" for i in range(6)]
    assert set(samples.rows) <= set(rows)


def test_one_per_subject_takes_every_image_equally_often(cache: Cache):
    rows = plan.select(cache)
    every = plan.one_per_subject(cache, rows)
    seen = Counter(int(row) for epoch in range(1600) for row in every.draw(0, epoch).rows)
    assert len(seen) == 96
    assert min(seen.values()) > 60  # 100 expected, standard deviation 10
    assert max(seen.values()) < 140


@given(seed=seeds, epoch=epochs)
def test_ed_and_es_are_of_the_same_slice(cache: Cache, seed, epoch):
    pairs = plan.ed_es(cache, plan.select(cache, subjects=("s0", "s3")))
    rows, partners = pairs.draw(seed, epoch).rows, pairs.draw(seed, epoch).partners["es"]
    assert pairs.length == 2 * (3 + 1)
    assert set(column(cache, "moment", rows)) == {"ED"}
    assert set(column(cache, "moment", partners)) == {"ES"}
    for key in ("study", "view", "slice"):
        np.testing.assert_array_equal(cache.table[key][rows], cache.table[key][partners])
    assert len(set(rows)) == 8


def test_slices_without_both_moments_are_left_out(cache: Cache):
    rows = plan.select(cache, subjects=("s0",))
    without = rows[1:]  # the first ED image is gone
    assert plan.ed_es(cache, without).length == 3
    with pytest.raises(UserError, match="ED and an ES"):
        plan.ed_es(cache, plan.select(cache, moments=("ED",)))


def subjects_of(samples: plan.Samples) -> tuple[plan.Rows, tuple[plan.Rows, ...]]:
    return samples.rows, tuple(samples.partners.values())


@given(seed=seeds, epoch=epochs)
def test_partners_are_others_of_the_training_part(cache: Cache, seed, epoch):
    training = plan.select(cache, subjects=("s1", "s2", "s5"), views=("sax",))
    # Subjects before, inside and after those in training, as in validation.
    own = plan.slices(plan.select(cache, subjects=("s0", "s1", "s3", "s5")))
    rows, (partners,) = subjects_of(plan.other_subject(cache, own, training).draw(seed, epoch))
    np.testing.assert_array_equal(rows, own.draw(seed, epoch).rows)
    assert set(partners) <= set(training)
    assert (cache.table["subject"][rows] != cache.table["subject"][partners]).all()


def test_partners_are_drawn_evenly(cache: Cache):
    training = plan.select(cache, subjects=("s1", "s2", "s5"))
    own = plan.slices(plan.select(cache, subjects=("s0", "s2")))
    paired = plan.other_subject(cache, own, training)
    seen: Counter = Counter()
    for epoch in range(150):
        rows, (partners,) = subjects_of(paired.draw(0, epoch))
        seen.update(zip(column(cache, "subject", rows), column(cache, "subject", partners), strict=True))
    assert set(seen) == {("s0", "s1"), ("s0", "s2"), ("s0", "s5"), ("s2", "s1"), ("s2", "s5")}
    assert all(abs(seen["s0", other] - 800) < 120 for other in ("s1", "s2", "s5"))  # standard deviation 23
    assert all(abs(seen["s2", other] - 1200) < 120 for other in ("s1", "s5"))


def test_a_partner_needs_another_subject(cache: Cache):
    rows = plan.select(cache, subjects=("s1",))
    with pytest.raises(UserError, match="at least two"):
        plan.other_subject(cache, plan.slices(rows), rows)


@given(seed=seeds, epoch=epochs)
def test_a_partner_of_another_phase_is_another_image_of_the_slice(cache: Cache, seed, epoch):
    training = plan.select(cache, subjects=("s0", "s4"))
    for own in (plan.slices(training), plan.one_per_subject(cache, training)):
        samples = plan.other_phase(cache, own, training).draw(seed, epoch)
        np.testing.assert_array_equal(samples.rows, own.draw(seed, epoch).rows)
        partners = samples.partners["phase"]
        assert set(partners) <= set(training)
        assert (partners != samples.rows).all()
        for key in ("study", "view", "slice"):
            np.testing.assert_array_equal(cache.table[key][samples.rows], cache.table[key][partners])


def test_other_phases_are_drawn_evenly(cache: Cache):
    training = plan.select(cache, subjects=("s3",), views=("4ch",))
    paired = plan.other_phase(cache, plan.slices(training), training)
    draws_of = [paired.draw(0, epoch) for epoch in range(600)]
    seen = Counter((int(a), int(b)) for one in draws_of for a, b in zip(one.rows, one.partners["phase"], strict=True))
    assert len(seen) == 4 * 3
    assert all(abs(count - 200) < 70 for count in seen.values())  # standard deviation 12


def test_an_image_without_another_phase_is_its_own_partner(cache: Cache):
    ends = plan.select(cache, moments=("ED",))
    both = np.sort([*ends, *plan.select(cache, subjects=("s2",), moments=("ES",))])
    samples = plan.other_phase(cache, plan.slices(both), both).draw(0, 0)
    alone = cache.table["subject"][samples.rows] != cache.names["subject"].index("s2")
    np.testing.assert_array_equal(samples.partners["phase"][alone], samples.rows[alone])
    assert (samples.partners["phase"] != samples.rows)[~alone].all()
    with pytest.raises(UserError, match="leave phase out"):
        plan.other_phase(cache, plan.slices(ends), ends)


def test_draws_are_the_same_everywhere():
    """Written down: data order may not change with numpy, platform or a rearrangement of this code."""
    assert draws.order(6, "epoch", 1, 2).tolist() == [4, 2, 3, 0, 5, 1]
    assert draws.below(np.array([5, 50, 500]), "epoch", 1, 2).tolist() == [1, 26, 177]
    assert not np.array_equal(draws.words(4, "a", 0), draws.words(4, "b", 0))
