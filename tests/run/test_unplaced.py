"""Images of which nobody knows where in the patient they lie, how large a pixel is, or which end of a stack is up."""

import json
from dataclasses import replace

import numpy as np
import pytest
import samples

import jaxssl
from jaxssl.data.cache import open_cache
from jaxssl.data.grid import Layout
from jaxssl.data.loader import batches
from jaxssl.data.plan import select, slices
from jaxssl.data.record import unplaced
from jaxssl.data.store import open_store, write
from jaxssl.errors import UserError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    lost = [
        replace(record, plane=unplaced(record.image.shape[:2], None), ordered=False)
        for record in samples.records(8, size=(32, 40))
    ]
    path = tmp_path_factory.mktemp("unplaced") / "store"
    return write(lost, path, name="discs", description="Discs (synthetic).", licence="none").path


def test_a_batch_says_how_large_a_pixel_of_its_layout_is(store):
    cache = open_cache(open_store(store), Layout((24, 20), 4.0))
    batch = next(batches(cache, slices(select(cache)), batch=6, seed=0))
    np.testing.assert_array_equal(batch["spacing"], np.full((6, 2), 4.0, np.float32))


def test_they_are_trained_on(store, tmp_path):
    run = jaxssl.pretrain("simclr:tiny", tmp_path / "run", {"data.store": str(store), "train.steps": 2})
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["skipped"] for line in logged] == [0, 0]
    assert np.isfinite([line["loss"] for line in logged]).all()


@pytest.mark.parametrize(
    ("recipe", "options"), [("pcl:tiny", {}), ("planes:tiny", {"method.lines": 0.0, "data.guests": ()})]
)
def test_methods_that_learn_from_positions_refuse_them(store, tmp_path, recipe, options):
    with pytest.raises(UserError, match="knows its place between base and apex"):
        jaxssl.pretrain(recipe, tmp_path / "run", {"data.store": str(store), **options})
    assert not (tmp_path / "run").exists()
