"""What a checkpoint costs the training that writes it, and what a line of the log does."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jaxssl.train.checkpoint import Checkpoints
from jaxssl.train.loop import Hook, Tick
from jaxssl.train.state import State


@dataclass(frozen=True)
class Save:
    """One checkpoint: seconds for which training stood still, seconds until it was on the disk while training went on,
    seconds that training lost to it in all, and its bytes."""

    stall: float
    durable: float
    lost: float
    bytes: int


def saves(
    step: Callable[[State, Any], tuple[State, Any]], state: State, batch: Any, folder: Path, count: int, steps: int
) -> Iterator[Save]:
    """So many checkpoints, each at the beginning of `steps` steps that are taken once more without one.

    The first, which makes folders and threads, is left out.
    """
    with Checkpoints(folder, keep=1, warn=_refuse) as checkpoints:
        for number in range(count + 1):
            plain, state = _run(step, state, batch, steps)
            began = time.perf_counter()
            checkpoints.save(number, state, {"batches": number})
            stall = time.perf_counter() - began
            busy, state = _run(step, state, batch, steps)
            checkpoints.latest_step()  # waits for the save
            durable = time.perf_counter() - began
            if number:
                yield Save(stall, durable, stall + busy - plain, _size(folder / str(number)))


def line_seconds(hooks: list[Hook], state: State, log: dict[str, jax.Array], every: int, count: int) -> list[float]:
    """How long the hooks that write take for a line of the log, whose values lie on the device."""
    found = []
    for number in range(1, count + 2):
        began = time.perf_counter()
        for hook in hooks:
            hook(Tick(number * every, (count + 2) * every, state, log, 0.0))
        found.append(time.perf_counter() - began)
    return found[1:]


def _run(step: Callable, state: State, batch: Any, steps: int) -> tuple[float, State]:
    jax.block_until_ready(state)
    began = time.perf_counter()
    for _ in range(steps):
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    return time.perf_counter() - began, state


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _refuse(sentence: str) -> None:
    raise OSError(sentence)
