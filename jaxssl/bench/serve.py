"""One side of a comparison, in a process of its own: it does its work when asked, and says what that took.

Questions and answers are lines of JSON, on standard input and output. Nothing here knows jax, torch or numpy: peers in
torch import it too, in whatever interpreter has torch.
"""

import contextlib
import ctypes
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Side:
    """What a side does.

    run(count): its work, so many times, finished when it returns.
    check(folder): its results on inputs that lie in a folder, written there; what it returns goes back as JSON.
    peak(): the bytes of an accelerator that were taken at most so far; none where it works in the memory of the host.
    workers: whether other processes work for it, whose memory is shared in ways that nobody can count.
    facts: what the table says of it.
    """

    run: Callable[[int], Any]
    check: Callable[[Path], Any] = lambda folder: None
    peak: Callable[[], int] | None = None
    workers: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


class Unable(Exception):
    """What this side cannot do; the sentence goes to whoever asked."""


def serve(make: Callable[[dict[str, Any]], Side]) -> None:
    """Make the side that the options on the command line (JSON) describe, and answer until the input ends.

    Memory counts from here on: inputs and compiled programs are there, nothing has been computed. What a check takes,
    which may compile programs of its own, is forgotten; what it leaves behind is not.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        side = make(json.loads(sys.argv[1]))
        idle = _begin_memory()
        answer(ready=side.facts)
        for line in sys.stdin:
            question = json.loads(line)
            if "check" in question:
                checked = side.check(Path(question["check"]))
                _begin_memory()
                answer(checked=checked)
            else:
                answer(**_turn(side, question["turn"]), memory=_memory(side, idle))
    except Unable as error:
        answer(unable=str(error))


def memory_of(make: Callable[[], T]) -> tuple[T, int]:
    """What is made, and the most bytes of memory that making it took."""
    before = _begin_memory()
    return make(), _peak() - before


def _turn(side: Side, count: int) -> dict[str, float]:
    """Seconds of one piece of work: of the wall, and of all cores of this process and its workers."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    side.run(count)
    return {"wall": (time.perf_counter() - wall) / count, "cpu": (_cpu_seconds() - cpu) / count}


def _cpu_seconds() -> float:
    return time.process_time() + sum(_cpu_seconds_of(worker.pid) for worker in multiprocessing.active_children())


def _cpu_seconds_of(process: int | None) -> float:
    """Linux counts them in ticks, in fields 14 and 15; the name of the process, field 2, ends with the last bracket."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _begin_memory() -> int:
    """Bytes of this process; its peak is forgotten, where the system can forget it.

    What was freed before is given back first, or the first run would have it for nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _memory(side: Side, idle: int) -> int | None:
    if side.workers:
        return None
    return _peak() - idle if side.peak is None else side.peak()


def _peak() -> int:
    """The most bytes of memory that this process has had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
