"""Planes that a study lends its images."""

from dataclasses import replace

import numpy as np
import pytest
import samples

from jaxssl.data.cache import open_cache
from jaxssl.data.columns import FIELDS
from jaxssl.data.grid import Layout
from jaxssl.data.guests import guests_of, placed_guests
from jaxssl.data.record import unplaced
from jaxssl.data.store import write
from jaxssl.errors import UserError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Three studies of which the second has no 4-chamber view, and the stack of the third lacks its middle slice."""
    about = {"name": "discs", "description": "Discs (synthetic).", "licence": "none"}
    kept = [
        record
        for record in samples.records(3)
        if (record.subject, record.view) != ("s1", "4ch")
        and (record.subject, record.view, record.slice) != ("s2", "sax", 1)
    ]
    return open_cache(write(kept, tmp_path_factory.mktemp("guests") / "store", **about), Layout((24, 20), 1.5))


def test_each_view_lends_its_plane_and_a_stack_its_middle_one(cache):
    guests = guests_of(cache, ("sax", "4ch"))
    np.testing.assert_array_equal(guests["valid"], [[True, True], [True, False], [True, True]])
    for study, subject in enumerate(("s0", "s1", "s2")):
        for guest, (view, slices) in enumerate({"sax": {0, 2} if subject == "s2" else {1}, "4ch": {0}}.items()):
            table, names = cache.table, cache.names
            of_view = (table["subject"] == names["subject"].index(subject)) & (
                table["view"] == names["view"].index(view)
            )
            rows = [row for row in np.flatnonzero(of_view) if table["slice"][row] in slices]
            if not guests["valid"][study, guest]:
                assert not rows
                continue
            lent = {key: guests[key][study, guest] for key in (*FIELDS, "thickness")}
            assert any(all(np.array_equal(lent[key], table[key][row]) for key in lent) for row in rows)


def test_a_view_that_is_not_there_is_refused(cache):
    with pytest.raises(UserError, match=r"data\.guests asks for view '3ch', which .* lacks; it has 4ch, sax"):
        guests_of(cache, ("4ch", "3ch"))


def test_a_view_whose_place_nobody_knows_is_refused(tmp_path):
    lost = [
        replace(record, plane=unplaced(record.image.shape[:2], (1.5, 1.5))) if record.view == "4ch" else record
        for record in samples.records(2)
    ]
    about = {"name": "discs", "description": "Discs (synthetic).", "licence": "none"}
    store = write(lost, tmp_path / "store", **about)
    assert store.info.placed == {"sax": store.info.views["sax"]}
    # What an earlier version has written does not say, but its images do.
    for each in (store, replace(store, info=replace(store.info, placed=None))):
        assert placed_guests(each, "sax", ("4ch", "sax")) == ("sax",)
        assert placed_guests(each, "4ch", ("sax",)) == ()
    cache = open_cache(store, Layout((24, 20), 1.5))
    with pytest.raises(UserError, match=r"asks for view '4ch', but .* does not know where those of it lie"):
        guests_of(cache, ("sax", "4ch"))
    assert guests_of(cache, ("sax",))["valid"].all()
    whole = write(samples.records(1), tmp_path / "all", **about).info
    assert whole.placed == whole.views
