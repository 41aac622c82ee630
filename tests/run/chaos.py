"""Work that is killed again and again: `chaos.py WHAT FOLDER KILLS SEED`. The same command goes on each time.

WHAT is `training`, `ingest` or `sweep`: a module `chaos_WHAT`, which makes what the work needs (`prepare`), does it
(`command`), and knows where it may die (`PLACES`), what a power cut takes of it (`cut_power`), what is finished and
must not be done again (`finished`), and what must be equal to the bit in the end (`outcome`).

Each attempt is a fork of one process that has imported everything and begun nothing, as start-up is most of so little
work. How it dies is dealt: at any moment or at one of the places, by SIGKILL, by SIGTERM, or by a power cut, after
which the files written last are truncated; how late is drawn. Prints the deaths, and at last a line of JSON.
"""

import fcntl
import functools
import importlib
import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ANY, FAULTS = "any moment", {"kill": signal.SIGKILL, "term": signal.SIGTERM, "cut": signal.SIGKILL}
TRIES = 5
"""Attempts for each death, of which some come to their end before: more, and one of the places is never passed."""


def at_call(owner: Any, name: str, number: int, act: Callable[..., None]) -> None:
    """See that `act` is told the arguments of a function's call of this number, when that has returned."""
    function, calls = getattr(owner, name), itertools.count(1)

    def watched(*args, **options):
        result = function(*args, **options)
        if next(calls) == number:
            act(*args)
        return result

    setattr(owner, name, watched)


def soon(seconds: float, by: int) -> Callable[..., None]:
    """What sends this process a signal after so many seconds."""
    return lambda *_: threading.Timer(seconds, os.kill, (os.getpid(), by)).start()


def truncate(path: Path, draw: random.Random, least: int = 0) -> None:
    size = path.stat().st_size
    os.truncate(path, draw.randint(min(least, size), size))


def forked(work: Callable[[], int | None], said: Path, with_all: bool = False) -> int:
    """Work in a process of its own, whose words go to a file; how it ended, negative for a signal.

    `with_all` ends whatever it had begun with it, as a power cut does; else that may outlive it.
    """
    sys.stdout.flush()
    if (process := os.fork()) == 0:
        os.setpgid(0, 0)
        with said.open("a") as file:
            # What it begins shares the lock for as long as it lives, as it shares the file unless it speaks elsewhere.
            fcntl.flock(file, fcntl.LOCK_SH)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = 70
        try:
            code = work() or 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    try:
        # It is looked at before it is buried, so that nobody else can have its number meanwhile.
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    except BaseException:
        os.killpg(process, signal.SIGKILL)
        raise
    if with_all:
        os.killpg(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if with_all:
        with said.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
    return code


def deal(places: Iterable[str], draw: random.Random) -> Iterator[tuple[str, str]]:
    """Each place with each fault, in an order that is drawn again for each round."""
    deaths = list(itertools.product((ANY, *places), FAULTS))
    while True:
        draw.shuffle(deaths)
        yield from deaths


def chaos(work: ModuleType, folder: Path, kills: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    said, draw = folder / "said.txt", random.Random(seed)

    def see(expected: int, doing: Callable[[], int | None]) -> None:
        assert forked(doing, said) == expected, said.read_text()

    whole, disturbed, ends, codes, finished = folder / "whole", folder / "disturbed", [], [], {}
    see(0, lambda: work.prepare(folder))
    began = time.monotonic()
    see(0, lambda: work.command(folder, whole))
    duration = time.monotonic() - began

    def end() -> None:
        ends.append(disturbed.rename(folder / f"end-{len(ends)}"))
        finished.clear()

    deaths = deal(work.PLACES, draw)
    place, fault = next(deaths)
    for _ in range(TRIES * kills):
        after, by = draw.random(), FAULTS[fault]
        arrange = soon(after * duration, by) if place == ANY else functools.partial(work.PLACES[place], after, by)

        def attempt(arrange: Callable[[], None] = arrange) -> int | None:
            arrange()
            return work.command(folder, disturbed)

        anew, began = not disturbed.exists(), time.monotonic()
        code = forked(attempt, said, with_all=fault == "cut")
        print(f"{len(codes) + 1} {fault} at {place}, {after:.2f}: ended with {code}", flush=True)
        now = work.finished(disturbed)
        assert all(now.get(name, mark) == mark for name, mark in finished.items()), (finished, now)
        finished.update(now)
        if code == 0:
            if anew:  # the first one may have had to compile
                duration = min(duration, time.monotonic() - began)
            end()
            continue
        assert code in (-signal.SIGKILL, -signal.SIGTERM, 75), said.read_text()
        codes.append(code)
        if fault == "cut" and disturbed.exists():
            work.cut_power(disturbed, draw)
        if len(codes) == kills:
            break
        place, fault = next(deaths)
    see(0, lambda: work.command(folder, disturbed))
    end()
    found = folder / "outcomes.json"

    def look() -> None:
        found.write_text(json.dumps([work.outcome(each) for each in (whole, *ends)]))

    see(0, look)  # in a process of its own as well: in this one no device may be asked for before a fork
    expected, *others = json.loads(found.read_text())
    print(json.dumps({"codes": codes, "expected": expected, "ends": others}))


if __name__ == "__main__":
    work = importlib.import_module(f"chaos_{sys.argv[1]}")
    chaos(work, Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
