"""Who was seen is found again under any name; who may have been seen is not let through."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxssl.data.columns import hash_of
from jaxssl.data.seen import NOBODY, Seen, refuse_leak
from jaxssl.errors import UserError

images = st.frozensets(st.sampled_from(["01", "02", "03"]), max_size=2)
seen = st.builds(Seen, st.dictionaries(st.sampled_from("ab"), st.dictionaries(st.sampled_from("uvw"), images)))


def known(key: str, **subjects: str) -> Seen:
    return Seen({key: {name: frozenset(hashes.split()) for name, hashes in subjects.items()}})


@given(seen, seen, seen)
def test_joining_is_a_union_and_files_keep_it(one, other, third):
    assert Seen.from_json(one.to_json()).to_json() == one.to_json()
    assert (one | other).to_json() == (other | one).to_json()
    assert ((one | other) | third).to_json() == (one | (other | third)).to_json()
    assert (one | one).to_json() == (one | NOBODY).to_json() == one.to_json()


def test_a_name_counts_within_its_key_and_an_image_everywhere():
    before = known("site", ann="1 2", bob="3")
    refuse_leak(before, known("site", cyd="4"), "a run")
    refuse_leak(before, known("elsewhere", ann="4"), "a run")
    refuse_leak(NOBODY, known("site", ann="1"), "a run")
    refuse_leak(before, NOBODY, "a run")
    for test in (known("site", ann="4"), known("site", ann=""), known("elsewhere", ann="9 2"), known("site", eve="3")):
        with pytest.raises(UserError, match="1 test subjects were already seen by a run"):
            refuse_leak(before, test, "a run")


def test_without_images_and_with_two_keys_nothing_is_proved():
    for before, test in (
        (known("site", ann=""), known("elsewhere", bob="1")),
        (known("site", ann="1", cyd=""), known("elsewhere", bob="2")),
        (known("site", ann="1"), known("elsewhere", bob="")),
    ):
        with pytest.raises(UserError, match="cannot be proved that no test subject was seen by a run"):
            refuse_leak(before, test, "a run")
    refuse_leak(known("site", ann=""), known("site", bob=""), "a run")


def test_what_is_no_list_of_subjects_is_refused():
    for content in ([], ["ann"], {"site": ["ann"]}, {"site": {"ann": 3}}, None):
        with pytest.raises(ValueError, match="no subjects"):
            Seen.from_json(content)


def test_the_hash_is_of_values_and_shape_and_not_of_how_they_are_kept():
    image = np.random.default_rng(0).integers(0, 256, (6, 4, 1)).astype(np.uint8)
    assert hash_of(image) == hash_of(image.astype(np.uint16)) == hash_of(np.asfortranarray(image))
    other = image.copy()
    other[3, 2] ^= 1
    assert len({hash_of(image), hash_of(other), hash_of(image.reshape(4, 6, 1)), hash_of(image[::-1])}) == 4
    assert hash_of(np.full((6, 4, 1), 7, np.uint8)) == 0
