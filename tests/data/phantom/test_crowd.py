"""Subjects made beside each other come in their order, and a fault in one of them is not swallowed."""

import time

import pytest

from jaxssl.data.phantom.crowd import one_after_the_other


def test_subjects_come_in_order_however_long_each_takes():
    def subject(index):
        time.sleep(0.02 if index % 2 == 0 else 0)
        return [(index, "a"), (index, "b")]

    told = []
    found = list(one_after_the_other(subject, 7, lambda done, of: told.append((done, of))))
    assert found == [(index, part) for index in range(7) for part in "ab"]
    assert told == [(done, 7) for done in range(1, 8)]


def test_a_fault_comes_after_the_subjects_before_it():
    def subject(index):
        if index == 2:
            raise ValueError("no such subject")
        return [index]

    found = one_after_the_other(subject, 5)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="no such subject"):
        next(found)
