"""How fast batches come: jaxssl's, and those of a torch DataLoader on the same arrays, by turns in one run."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from jaxssl.bench.sides import OURS, Against, Timed, Turn, by_turns, on_cores, peer, running
from jaxssl.data.cache import Cache
from jaxssl.data.loader import batches
from jaxssl.data.plan import Plan

WORKERS = 2
PEER = f"torch DataLoader, {WORKERS} workers"
BATCHES = 8
"""That are loaded at a time: one alone is too short to be timed."""


def rounds(
    cache: Cache, plan: Plan, batch: int, count: int, seconds: float, against: Against
) -> Iterator[tuple[str, int, Turn]]:
    """`count` turns of each loader, of about so many seconds; a piece of work is `BATCHES` batches.

    Both shuffle the same images and stack them, jaxssl's with what is known of them besides.
    """
    with on_cores(against.threads), _loaders(cache, plan, batch, against) as loaders:
        yield from by_turns(loaders, count, seconds)


@contextmanager
def _loaders(cache: Cache, plan: Plan, batch: int, against: Against) -> Iterator[Mapping[str, Timed]]:
    loaders = {OURS: _ours(cache, plan, batch)}
    if against.against is None:
        yield loaders
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npy"
        np.save(rows, plan.draw(0, 0)[0], allow_pickle=False)
        options = {"images": str(cache.path / "images.npy"), "rows": str(rows), "batch": batch}
        options |= {"workers": WORKERS, "batches": BATCHES}
        with running([peer(PEER, "loader.py", options, against.python)], None) as peers:
            yield loaders | {name: process.turn for name, process in peers.items()}


def _ours(cache: Cache, plan: Plan, batch: int) -> Timed:
    endless = batches(cache, plan, batch=batch, seed=0)

    def timed(count: int) -> Turn:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(BATCHES * count):
            next(endless)
        return Turn((time.perf_counter() - wall) / count, (time.process_time() - cpu) / count)

    return timed
