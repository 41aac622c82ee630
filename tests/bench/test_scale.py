"""What a scaling table is made from, on one device."""

import subprocess
import sys

import jax
import pytest
import samples

from jaxssl.bench.batch import abstract_batch
from jaxssl.bench.figure import readable
from jaxssl.bench.scale import of_loss
from jaxssl.data.cache import open_cache
from jaxssl.data.grid import Layout
from jaxssl.data.loader import batches
from jaxssl.data.plan import other_phase, other_subject, select, slices
from jaxssl.data.source import Data
from jaxssl.data.store import write
from jaxssl.train.mesh import make_mesh


def test_the_abstract_batch_is_that_of_the_loader(tmp_path):
    records = samples.records(subjects=2, dtype="uint16", channels=2)
    store = write(records, tmp_path / "store", name="discs", description="Discs (synthetic).", licence="none")
    options = Data(layout=Layout((24, 20), 1.5), masks=True, guests=("4ch",), partners=("phase", "subject"))
    cache = open_cache(store, options.layout)
    rows = select(cache, masked=True)
    plan = other_subject(cache, other_phase(cache, slices(rows), rows), rows)
    loaded = next(batches(cache, plan, batch=3, seed=0, masks=True, guests=options.guests))
    found = jax.tree.map(lambda x: (x.shape, x.dtype), abstract_batch(options, channels=2, size=3))
    assert found == jax.tree.map(lambda x: (x.shape, x.dtype), loaded)


def test_the_loss_on_one_device_takes_each_pair_once_and_its_gradient_twice():
    """Blocks of 640 on and above the diagonal: 3 of 4, 2 b^2 d operations forward and three times that backward."""
    row = of_loss("loss", 1280, 16, make_mesh(jax.devices()[:1]))
    assert row.flops == 3 * 2 * 640**2 * 16 * (1 + 3)
    assert row.collectives == {}


@pytest.mark.parametrize(
    ("number", "words"), [(37_230_051_328, "37.2 GB"), (1_000, "1 kB"), (999, "999 B"), (0, "0 B"), (1.5e12, "1.5 TB")]
)
def test_numbers_are_read_at_a_glance(number, words):
    assert readable(number, "B") == words


def test_devices_are_simulated_in_a_fresh_process_and_refused_in_one_that_has_begun():
    code = """
import jax
from jaxssl.errors import UserError
from jaxssl.run.bench import simulate
simulate(4)
assert jax.device_count() == 4
simulate(2)
try:
    simulate(8)
except UserError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "fresh process" in ran.stdout
