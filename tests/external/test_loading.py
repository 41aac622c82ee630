"""The DataLoader that `bench loader` measures beside its own: a process that takes orders."""

import subprocess
import sys

import numpy as np
import pytest
import samples

from jaxssl.bench.loader import OURS, PEER, rounds
from jaxssl.data.cache import open_cache
from jaxssl.data.grid import Layout
from jaxssl.data.plan import select, slices
from jaxssl.data.store import write

pytest.importorskip("torch")


def test_both_loaders_take_turns_on_the_same_arrays(tmp_path):
    store = write(
        samples.records(8), tmp_path / "store", name="discs", description="Discs (synthetic).", licence="none"
    )
    cache = open_cache(store, Layout((32, 32), 1.0))
    measured = list(rounds(cache, slices(select(cache)), batch=16, count=2, seconds=0.05))
    assert [(r.loader, r.number) for r in measured] == [(OURS, 0), (PEER, 0), (OURS, 1), (PEER, 1)]
    assert all(r.images_per_second > 0 for r in measured)


def test_the_peer_answers_with_seconds(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((40, 8, 8, 1), np.uint8))
    np.save(tmp_path / "rows.npy", np.arange(3, 35))
    command = [sys.executable, "-m", "jaxssl.bench.peer", str(tmp_path / "images.npy"), str(tmp_path / "rows.npy"), "8"]
    ran = subprocess.run([*command, "0"], input="3\n7\n", capture_output=True, text=True, check=True)
    ready, *seconds = ran.stdout.split()
    assert ready == "ready"
    assert len(seconds) == 2
    assert all(0 < float(each) < 30 for each in seconds)
