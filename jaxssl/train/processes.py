"""One run in several processes: jax finds the others, the first one writes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxssl.errors import UserError
from jaxssl.train.peers import SECONDS, speak_when_aborted

ROOM = 400
"""Bytes for the words of a process that all are told."""


def join(coordinator: str | None = None, count: int | None = None, index: int | None = None) -> None:
    """Connect this process with the others of its run, if there are any; before anything else is asked of jax.

    What is not given jax finds out under SLURM, under Kubernetes and on TPU pods; a count of 1 asks nobody.
    """
    if count == 1 and (coordinator or index):
        raise UserError("A single process (--processes 1) has no --coordinator and no --process; leave them out.")
    if coordinator is not None and not re.fullmatch(r".+:\d+", coordinator):
        raise UserError(f"--coordinator is the HOST:PORT of process 0, not {coordinator!r}.")
    if count == 1 or jax.distributed.is_initialized():
        return
    try:
        jax.distributed.initialize(
            coordinator, count, index, heartbeat_timeout_seconds=SECONDS, shutdown_timeout_seconds=SECONDS
        )
    except (ValueError, RuntimeError) as error:
        if (coordinator, count, index) == (None, None, None) and _alone(error):
            return
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(
            f"The processes of this run could not be joined ({reason}); "
            "give --coordinator, --processes and --process to each, or --processes 1 to run alone."
        ) from error
    speak_when_aborted(jax.process_index())
    # Meeting for the first time has a short limit of its own: later one may have to wait long for the other.
    multihost_utils.sync_global_devices("joined")


def _alone(error: Exception) -> bool:
    """Whether jax found no cluster, or works alone already (called from a notebook or a test)."""
    return "coordinator_address should be defined" in str(error) or "must be called before" in str(error)


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


@contextmanager
def first_goes_ahead() -> Iterator[None]:
    """The others enter the block once the first has left it, and find what it has made; they end if it has failed."""
    if not is_first():
        if not multihost_utils.broadcast_one_to_all(np.array(False)):
            raise UserError("Process 0 has stopped; see what it says.")
        yield
        return
    try:
        yield
    except BaseException:
        multihost_utils.broadcast_one_to_all(np.array(False))
        raise
    multihost_utils.broadcast_one_to_all(np.array(True))


def least(number: float) -> float:
    """The least of the numbers that the processes give."""
    return float(multihost_utils.process_allgather(np.array(number)).min())


def words_of_all(words: str) -> list[str]:
    """What each process says, by its index: the first `ROOM` bytes of it."""
    said = words.encode()[:ROOM].ljust(ROOM, b"\0")
    rows = multihost_utils.process_allgather(np.frombuffer(said, np.uint8)).reshape(-1, ROOM)
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in rows]
