"""Labels in two granularities."""

from dataclasses import replace

import numpy as np
import pytest

from jaxssl.data.cache import Cache
from jaxssl.data.labels import labels_of
from jaxssl.data.source import Data, open_source
from jaxssl.errors import UserError


def test_values_joined_to_groups_have_one_code_and_unknown_stays_unknown(cache: Cache):
    fine = labels_of(cache, "group")
    assert fine.names == ("dilated", "normal")
    joined = labels_of(cache, "group", ("heart=normal,dilated",))
    assert joined.names == ("heart",)
    np.testing.assert_array_equal(joined.codes, np.where(fine.codes < 0, -1, 0))
    renamed = labels_of(cache, "group", ("a = normal",))
    assert renamed.names == ("a", "dilated")
    np.testing.assert_array_equal(renamed.codes, np.select([fine.codes == 0, fine.codes == 1], [1, 0], -1))


def test_a_source_delivers_what_its_recipe_asks_for(store):
    options = Data(store=str(store.path), fractions=(0.5, 0.0, 0.5))
    assert (open_source(options).labels.codes == -1).all()
    source = open_source(replace(options, label="group", label_groups=("x=normal",)))
    assert source.labels.names == ("dilated", "x")


@pytest.mark.parametrize(
    ("groups", "complaint"),
    [(("heart=lung",), "'lung', which is no value of group"), (("heart",), "NAME=label"), (("=normal",), "NAME=label")],
)
def test_groups_that_mean_nothing_are_refused(cache: Cache, groups, complaint):
    with pytest.raises(UserError, match=complaint):
        labels_of(cache, "group", groups)


def test_groups_of_no_label_are_refused():
    with pytest.raises(UserError, match="name a label"):
        Data(label_groups=("heart=4CH",)).check()
