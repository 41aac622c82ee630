"""What jaxssl's own sides of comparisons share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxssl.bench.serve import Side


def side(run: Callable[[int], Any], check: Callable[[Path], Any], compiling: int) -> Side:
    """A side that computes on the device that jax takes by default, and what memory its compiler took at most."""
    device = jax.devices()[0]
    facts = {
        "platform": device.platform,
        "threads": len(os.sched_getaffinity(0)),
        "version": f"jax {jax.__version__}",
        "compiling": compiling,
    }
    if device.platform == "cpu":
        return Side(run, check, facts=facts)
    idle = device.memory_stats()["bytes_in_use"]
    return Side(run, check, lambda: device.memory_stats()["peak_bytes_in_use"] - idle, facts=facts)
