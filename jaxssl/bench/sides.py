"""Sides of a comparison: processes that are told what to do, by turns, and all on the same cores."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from jaxssl.errors import UserError

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "experiments" / "peers"
OURS = "jaxssl"


@dataclass(frozen=True)
class Against:
    """What to compare with, and on what."""

    against: Literal["torch", "torch.compile"] | None = None
    """Do the same in PyTorch by turns with jaxssl, by peers of our own, all but the loader after both have given the
    same results; torch.compile, for a step alone, adds the same step compiled."""
    python: str | None = None
    """The interpreter that has torch, where this one has not."""
    threads: int | None = None
    """Cores for either side, none for all; with 1 ratios are reliable on a machine that has other work."""


ALONE = Against()


@dataclass(frozen=True)
class Turn:
    """Of one piece of work: seconds of the wall and of all cores, and the most memory above idle so far, in bytes."""

    wall: float
    cpu: float
    memory: int | None = None


Timed = Callable[[int], Turn]
"""Takes how often the work is to be done; says what one time of it took."""


@dataclass(frozen=True, eq=False)
class Process:
    """A side in a process of its own (`jaxssl.bench.serve`)."""

    popen: subprocess.Popen
    name: str
    facts: Mapping[str, Any]

    def check(self, folder: Path) -> Any:
        """Its results on the inputs in a folder."""
        return _asked(self.popen, self.name, check=str(folder))["checked"]

    def turn(self, count: int) -> Turn:
        """Its work, so many times."""
        return Turn(**_asked(self.popen, self.name, turn=count))


@dataclass(frozen=True)
class Side:
    """What to start: words of a command that serves, and the options it is told."""

    name: str
    words: tuple[str, ...]
    options: Mapping[str, Any]


def ours(module: str, options: Mapping[str, Any]) -> Side:
    """jaxssl's own side, which a module of it serves."""
    return Side(OURS, (sys.executable, "-m", module), options)


def peer(name: str, file: str, options: Mapping[str, Any], python: str | None) -> Side:
    """One that is written in torch, for the interpreter that has it."""
    return Side(name, (python or sys.executable, str(PEERS / file)), options)


def check_torch(python: str | None) -> None:
    """Refuse to compare with torch where there is none, or where the peers are missing."""
    if not PEERS.is_dir():
        raise UserError(f"The PyTorch peers belong to a checkout of jaxssl, experiments/peers, and {PEERS} is missing.")
    if not has_module("torch", python):
        raise UserError(
            f"{python or sys.executable} has no torch to compare with; name an interpreter that has, by --python PATH."
        )


def has_module(name: str, python: str | None) -> bool:
    """Whether the interpreter of the peers could import it."""
    program = f"import importlib.util as u, sys; sys.exit(u.find_spec({name!r}) is None)"
    try:
        return subprocess.run((python or sys.executable, "-c", program), check=False).returncode == 0  # noqa: S603 - the interpreter the user named
    except OSError as error:
        raise UserError(f"--python {python} cannot be run ({error.strerror}); name an interpreter.") from error


@contextmanager
def running(sides: list[Side], threads: int | None) -> Iterator[dict[str, Process]]:
    """All of them, ready; each on the same `threads` cores, or on all."""
    with ExitStack() as stack, on_cores(threads):
        yield {side.name: stack.enter_context(_started(side)) for side in sides}


@contextmanager
def on_cores(threads: int | None) -> Iterator[None]:
    """What is started meanwhile keeps to so many cores, the last ones: the first have the system's work to do."""
    if threads is None:
        yield
        return
    before = os.sched_getaffinity(0)
    if not 1 <= threads <= len(before):
        raise UserError(f"--threads must be from 1 to {len(before)}, the cores that there are, not {threads}.")
    os.sched_setaffinity(0, sorted(before)[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def by_turns(sides: Mapping[str, Timed], rounds: int, seconds: float) -> Iterator[tuple[str, int, Turn]]:
    """Name, round and turn: so many turns of each side, one after the other, each of about so many seconds.

    The first work of a side, which may compile, is left out; the second tells how much of it makes a turn.
    """
    for timed in sides.values():
        timed(1)
    counts = {name: max(1, round(seconds / timed(1).wall)) for name, timed in sides.items()}
    for number in range(rounds):
        for name, timed in sides.items():
            yield name, number, timed(counts[name])


def ratio(turns: Sequence[Turn], ours: Sequence[Turn], what: str) -> float:
    """How many times as much as ours, by the median of the ratios within a round: other work spoils those least."""
    return median(getattr(a, what) / getattr(b, what) for a, b in zip(turns, ours, strict=True))


@contextmanager
def _started(side: Side) -> Iterator[Process]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        # Two processes share an accelerator.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    command = [*side.words, json.dumps(side.options)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as popen:  # noqa: S603 - our own file, or module
        yield Process(popen, side.name, _answer(popen, side.name)["ready"])
        popen.stdin.close()  # type: ignore[union-attr]


def _asked(popen: subprocess.Popen, name: str, **question: Any) -> dict[str, Any]:
    assert popen.stdin is not None  # noqa: S101 - it is a pipe
    with suppress(BrokenPipeError):  # one that has ended is told of below
        popen.stdin.write(json.dumps(question) + "\n")
        popen.stdin.flush()
    return _answer(popen, name)


def _answer(popen: subprocess.Popen, name: str) -> dict[str, Any]:
    assert popen.stdout is not None  # noqa: S101
    line = popen.stdout.readline()
    if not line:
        raise UserError(
            f"The side of {name} has ended with code {popen.wait()}, and what it said stands above; with -9 it was "
            "killed, perhaps for want of memory: take a smaller batch."
        )
    answer = json.loads(line)
    if "unable" in answer:
        raise UserError(f"{name} cannot be compared: {answer['unable']}")
    return answer
