"""Stores damaged in any way: a sentence, or what was written."""

import json
import random
import shutil

import numpy as np
import pytest
import samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxssl.data.store import DIGEST, SUMMARY, Store, open_store, write
from jaxssl.errors import UserError

FILES = ("store.json", "dataset_info.json", "features.json", "LICENSE", "discs-records.array_record-00000")
STRANGE = [None, True, 0, -1, 3, 10**12, 1.5, float("nan"), "", "../x", "/etc/passwd", "\0", [], {}, [1], {"a": 1}]


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Store:
    about = {"name": "discs", "description": "Random pixels (synthetic).", "licence": "none"}
    return write(samples.records(2, size=(16, 16)), tmp_path_factory.mktemp("sound") / "store", **about)


def in_a_sentence(error: UserError) -> None:
    assert "\n" not in str(error)


def contents(store: Store) -> list:
    """What is read of the summary, and every array."""
    records = [(r.image.tobytes(), None if r.mask is None else r.mask.tobytes(), r.subject) for r in store.records()]
    return [store.info, store.fingerprint, records]


def damage(path, how: str, draw: random.Random) -> None:
    data = path.read_bytes()
    if how == "flip":
        place = draw.randrange(len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :])
    elif how == "cut":
        path.write_bytes(data[: draw.randrange(len(data))])
    else:
        path.unlink()


def change(value: dict, draw: random.Random) -> None:
    """Put something strange at any place of a JSON object, or take the place away."""
    key = draw.choice(list(value))
    if isinstance(value[key], dict) and value[key] and draw.random() < 0.8:
        change(value[key], draw)
    elif draw.random() < 0.2:
        del value[key]
    else:
        value[key] = draw.choice(STRANGE)


def damaged_is_refused_or_right(sound: Store, folder, name: str, how: str, draw: random.Random, digested: bool) -> None:
    path = folder / "store"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(sound.path, path)
    if how == "change" and name.endswith(".json"):
        summary = json.loads((path / SUMMARY).read_text())
        if not digested:
            del summary[DIGEST]
        changed = summary if name == SUMMARY else json.loads((path / name).read_text())
        change(changed, draw)
        (path / name).write_text(json.dumps(changed))
        if name != SUMMARY:  # by its size alone it is not found out
            summary["files"][name] = (path / name).stat().st_size
            (path / SUMMARY).write_text(json.dumps(summary))
    else:
        damage(path / name, "cut" if how == "change" else how, draw)
    try:
        found = contents(open_store(path))
    except UserError as error:
        in_a_sentence(error)
    else:
        # Without a digest only what is needed to read is checked; `data check` counts.
        assert found == contents(sound) or not digested


@settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(FILES), st.sampled_from(["change", "flip", "cut", "delete"]), st.integers(0, 2**32))
def test_a_damaged_store_is_refused_in_a_sentence_or_read_as_it_was(sound, tmp_path, name, how, seed):
    damaged_is_refused_or_right(sound, tmp_path, name, how, random.Random(seed), digested=True)


@settings(derandomize=True, deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(FILES[:3]), st.integers(0, 2**32))
def test_so_is_one_of_an_earlier_version_that_has_no_digest(sound, tmp_path, name, seed):
    damaged_is_refused_or_right(sound, tmp_path, name, "change", random.Random(seed), digested=False)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(FILES), st.sampled_from(["change", "flip", "cut", "delete"]), st.integers(), st.booleans())
def test_damage_by_the_thousands(sound, tmp_path, name, how, seed, digested):
    damaged_is_refused_or_right(sound, tmp_path, name, how, random.Random(seed), digested)


def test_no_name_in_a_store_leads_out_of_it(sound, tmp_path):
    path = tmp_path / "store"
    shutil.copytree(sound.path, path)
    (tmp_path / "outside").write_bytes(np.zeros(3, np.uint8))
    content = json.loads((path / SUMMARY).read_text())
    del content[DIGEST]
    for name in ("../outside", str(tmp_path / "outside")):
        (path / SUMMARY).write_text(json.dumps({**content, "files": {**content["files"], name: 3}}))
        with pytest.raises(UserError, match="no file of the store's"):
            open_store(path)
