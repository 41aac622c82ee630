"""How fast batches come: jaxssl's, and those of a torch DataLoader on the same arrays, by turns in one run."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from jaxssl.data.cache import Cache
from jaxssl.data.loader import batches
from jaxssl.data.plan import Plan

WORKERS = 2
OURS, PEER = "jaxssl", f"torch DataLoader, {WORKERS} workers"

Timed = Callable[[int], float]
"""Takes a number of batches; gives the seconds in which they came."""


@dataclass(frozen=True)
class Round:
    """One turn of one loader."""

    loader: str
    number: int
    images_per_second: float


def rounds(cache: Cache, plan: Plan, batch: int, count: int, seconds: float) -> Iterator[Round]:
    """`count` turns of each loader, of about so many seconds; of jaxssl's alone where torch is not installed.

    Both shuffle the same images and stack them, jaxssl's with what is known of them besides. The first turn of each
    warms it up and is left out.
    """
    with _loaders(cache, plan, batch) as loaders:
        lengths = {name: max(1, int(seconds * 8 / timed(8))) for name, timed in loaders.items()}
        for number in range(count):
            for name, timed in loaders.items():
                yield Round(name, number, lengths[name] * batch / timed(lengths[name]))


@contextmanager
def _loaders(cache: Cache, plan: Plan, batch: int) -> Iterator[dict[str, Timed]]:
    loaders = {OURS: _ours(cache, plan, batch)}
    if find_spec("torch") is None:
        yield loaders
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npy"
        np.save(rows, plan.draw(0, 0)[0], allow_pickle=False)
        with _peer(cache.path / "images.npy", rows, batch) as timed:
            yield {**loaders, PEER: timed}


def _ours(cache: Cache, plan: Plan, batch: int) -> Timed:
    endless = batches(cache, plan, batch=batch, seed=0)

    def timed(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            next(endless)
        return time.perf_counter() - began

    return timed


@contextmanager
def _peer(images: Path, rows: Path, batch: int) -> Iterator[Timed]:
    command = [sys.executable, "-m", "jaxssl.bench.peer", str(images), str(rows), str(batch), str(WORKERS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        asks, answers = process.stdin, process.stdout
        assert asks is not None  # noqa: S101
        assert answers is not None  # noqa: S101

        def timed(count: int) -> float:
            asks.write(f"{count}\n")
            asks.flush()
            return float(answers.readline())

        if answers.readline() != "ready\n":
            raise RuntimeError(f"the torch DataLoader did not start (exit code {process.wait()})")
        yield timed
        asks.close()
