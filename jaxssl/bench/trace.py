"""What a trace of some steps tells that no clock outside can: how long devices spent exchanging with one another."""

import re
import time
from pathlib import Path

import jax

from jaxssl.bench.program import COLLECTIVES
from jaxssl.bench.step import Call
from jaxssl.train.state import State

EXCHANGE = re.compile(rf"^({'|'.join(COLLECTIVES)})(-start|-done)?(\.\d+)?$|nccl", re.IGNORECASE)
"""Names of a collective in a trace: XLA's own, and those of NVIDIA's kernels."""


def traced(call: Call, state: State, folder: Path, steps: int = 3) -> tuple[State, float]:
    """Run a few steps, writing a trace that xprof opens; the state after them, and how many seconds they took."""
    with jax.profiler.trace(str(folder)):
        began = time.perf_counter()
        for _ in range(steps):
            state, out = call(state)
        jax.block_until_ready(out)
        seconds = time.perf_counter() - began
    return state, seconds


def exchanging(folder: Path) -> float:
    """Seconds that devices spent in collectives, waiting for one another included, summed over those of this process.

    What a device computed meanwhile is not told apart: of several GPUs much of it may have been hidden.
    """
    file = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime_ns)  # of several the last
    return sum(_of_plane(plane) for plane in jax.profiler.ProfileData.from_file(str(file)).planes) / 1e9


def _of_plane(plane) -> float:
    lines = [sum(event.duration_ns for event in line.events if EXCHANGE.search(event.name)) for line in plane.lines]
    # An accelerator's plane repeats in one line what another shows; a CPU's has a line for each simulated device.
    return max(lines, default=0.0) if plane.name.startswith("/device:") else sum(lines)
