"""Splits hold whole subjects, in the proportions asked for, whatever the order they came in."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxssl.data.splits import Split, label_subset, split
from jaxssl.errors import UserError

counts = st.integers(10, 60)
seeds = st.integers(0, 2**32 - 1)


def names(count: int) -> list[str]:
    return [f"s{i:02d}" for i in range(count)]


@given(count=counts, seed=seeds, strata=st.booleans())
def test_parts_are_disjoint_complete_and_of_their_size(count, seed, strata):
    kinds = {name: "abc"[i % 3] for i, name in enumerate(names(count))} if strata else None
    parts = split(names(count), (0.6, 0.1, 0.3), seed, kinds)
    everyone = [*parts.train, *parts.validation, *parts.test]
    assert sorted(everyone) == names(count)
    for part, fraction in ((parts.train, 0.6), (parts.validation, 0.1), (parts.test, 0.3)):
        assert abs(len(part) - fraction * count) <= 1


@given(count=counts, seed=seeds, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_the_names_does_not_matter(count, seed, shuffle: random.Random):
    mixed = names(count)
    shuffle.shuffle(mixed)
    assert split(mixed, seed=seed) == split(names(count), seed=seed)
    assert label_subset(mixed, 5, seed) == label_subset(names(count), 5, seed)


@given(seed=seeds, sizes=st.lists(st.integers(5, 30), min_size=1, max_size=5))
def test_each_class_is_divided_in_proportion(seed, sizes):
    kinds = {f"{kind}{i}": kind for kind, size in zip("abcde", sizes, strict=False) for i in range(size)}
    parts = split(kinds, (0.5, 0.2, 0.3), seed, kinds)
    total = Counter(kinds.values())
    for part, fraction in ((parts.train, 0.5), (parts.validation, 0.2), (parts.test, 0.3)):
        found = Counter(kinds[name] for name in part)
        for kind, size in total.items():
            # A beginning or an end of the order has its share to within 1, and is cut to within half a subject.
            assert abs(found[kind] - fraction * size) < (2.5 if part is parts.validation else 1.5)


def test_seeds_differ_and_the_draw_is_kept():
    splits = {split(names(20), seed=seed).train for seed in range(20)}
    assert len(splits) == 20
    # Written down so that a change of numpy or of this code does not silently move subjects between parts.
    assert split(names(10), (0.5, 0.2, 0.3), seed=3) == Split(
        ("s00", "s01", "s03", "s05", "s08"), ("s07", "s09"), ("s02", "s04", "s06")
    )
    assert label_subset(names(10), 3, seed=3) == ("s02", "s08", "s09")


def test_every_subject_is_tested_on_equally_often():
    tested = Counter(name for seed in range(600) for name in split(names(10), seed=seed).test)
    assert min(tested.values()) > 140  # 180 expected, standard deviation 11
    assert max(tested.values()) < 220


@given(count=counts, seed=seeds, sizes=st.lists(st.integers(1, 10), min_size=2, max_size=2))
def test_label_subsets_are_nested(count, seed, sizes):
    small, large = (label_subset(names(count), n, seed) for n in sorted(sizes))
    assert set(small) <= set(large)
    assert len(set(large)) == max(sizes)


@given(seed=seeds, sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_stratified_subsets_are_nested_and_within_one_of_their_share(seed, sizes):
    kinds = {f"{kind}{i}": kind for kind, size in zip("abcde", sizes, strict=False) for i in range(size)}
    before: set[str] = set()
    for n in range(1, len(kinds) + 1):
        subset = label_subset(kinds, n, seed, kinds)
        assert len(set(subset)) == n
        assert before < set(subset)
        before = set(subset)
        found = Counter(kinds[name] for name in subset)
        for kind, size in Counter(kinds.values()).items():
            assert abs(found[kind] - n * size / len(kinds)) < 1


@pytest.mark.parametrize("fractions", [(0.6, 0.1, 0.2), (1.2, -0.5, 0.3)])
def test_fractions_that_are_none_are_refused(fractions):
    with pytest.raises(UserError, match="add up to 1"):
        split(names(10), fractions)


def test_an_empty_part_is_refused_unless_asked_for():
    with pytest.raises(UserError, match=r"validation part is empty; add subjects, or give .* by --data\.fractions"):
        split(names(3), (0.6, 0.1, 0.3))
    # No fractions part two subjects into three.
    with pytest.raises(UserError, match=r"validation part is empty; add subjects\.$"):
        split(names(2), (0.4, 0.3, 0.3))
    with pytest.raises(UserError, match=r"validation part is empty; add subjects, or give .* by --data\.fractions"):
        split(names(2), (0.9, 0.1, 0.0))
    assert split(names(3), (1.0, 0.0, 0.0)).test == ()


@pytest.mark.parametrize("n", [0, 11])
def test_too_many_or_no_labels_are_refused(n):
    with pytest.raises(UserError, match="ask for 1 to 10"):
        label_subset(names(10), n, seed=0)


def test_a_subject_in_two_parts_is_refused():
    with pytest.raises(UserError, match="'b' is in train and in test"):
        Split(("a", "b"), ("c",), ("d", "b"))
