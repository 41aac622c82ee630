"""Processes that take one job each; one that crashes or hangs over a file costs that file, and nothing else."""

import multiprocessing
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from jaxssl.data.subject import Subject
from jaxssl.errors import UserError

PATIENCE = 10.0
"""Seconds that an image of a file may take to be read, and more for each 50 MB of the file."""

BYTES_PER_SECOND = 50e6


@dataclass(frozen=True)
class Job:
    """A subject to be read, the name of its part, and the files that are known to be no good, with reasons."""

    subject: Subject
    key: str
    refused: Mapping[Path, str] = field(default_factory=dict)
    shaken: bool = False
    """Whether a process came to an end over it before, and not while it read a file."""

    def files(self) -> list[Path]:
        """Those that are still to be read."""
        return [file for series in self.subject.series for file in series.files if file not in self.refused]


class Work(Protocol):
    """What a process does with a job, sent to it when it begins; it calls `reading` as `Hearers` do."""

    def __call__(self, job: Job, reading: Callable[[Path | None], None], /) -> Any: ...


def run(work: Work, jobs: Iterable[Job], processes: int) -> Iterator[Any]:
    """The results as they come, by so many processes; a job is asked for when one of them is free to take it."""
    waiting, again = iter(jobs), deque[Job]()
    hands = [_Hand(work) for _ in range(processes)]
    try:
        while True:
            for hand in hands:
                if hand.job is None and (job := again.popleft() if again else next(waiting, None)):
                    hand.give(job)
            busy = [hand for hand in hands if hand.job is not None]
            if not busy:
                return
            patience = max(0.0, min(hand.deadline for hand in busy) - time.monotonic())
            wait([hand.connection for hand in busy], None if patience == float("inf") else patience)
            for hand in busy:
                if hand.connection.poll():
                    yield from hand.listen(again)
                elif time.monotonic() > hand.deadline:
                    again.append(hand.replaced(f"it takes more than {hand.patience:.0f} s to read"))
    finally:
        for hand in hands:
            hand.stop()


class _Hand:
    """One process, begun anew and not forked, since jax and its threads may be at work in this one."""

    def __init__(self, work: Work):
        self._work = work
        self._begin()

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False
        self._rest()

    def _rest(self) -> None:
        self.job: Job | None = None
        self._at(None)

    def _at(self, file: Path | None) -> None:
        """A file is being read from now on, or none."""
        self._file, self.patience = file, float("inf") if file is None else PATIENCE
        if file is not None:
            with suppress(OSError):
                self.patience += file.stat().st_size / BYTES_PER_SECOND
        self.deadline = time.monotonic() + self.patience

    def give(self, job: Job) -> None:
        self.job = job
        with suppress(OSError):  # that it died meanwhile shows when it is listened to
            self.connection.send(job)

    def listen(self, again: deque[Job]) -> Iterator[Any]:
        """Take in what the process has to say, of which at most a result goes on to others."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            again.append(self.replaced("reading it brings the program down"))
            return
        if kind == "ready":
            self._ready = True
        elif kind == "reading":
            self._at(content)
        elif kind == "failed":
            raise content
        else:
            self._rest()
            yield content

    def replaced(self, reason: str) -> Job:
        """Another process in its place, and the job to be done again without the file that it was at.

        Where it was at none it is tried once more as it is, and then without any: what is left is to note why.
        """
        job: Any = self.job
        lost = [self._file] if self._file else job.files() * job.shaken
        self.stop()
        if not self._ready or (job.shaken and not lost):
            raise UserError(
                "The processes that read files come to an end at once: is there memory enough for so many --workers, "
                "and is a script that calls jaxssl.data_ingest guarded by if __name__ == '__main__'?"
            )
        refused = {**job.refused, **dict.fromkeys(lost, reason)}
        job = replace(job, refused=refused, shaken=self._file is None)
        self._begin()
        return job

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, work: Work) -> None:
    """What runs in a process, until nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who sends jobs hears it too, and stops the others

    def reading(file: Path | None) -> None:
        connection.send(("reading", file))

    with suppress(EOFError, ConnectionError):  # a parent that was killed may leave words unread: a reset
        connection.send(("ready", None))
        while True:
            job = connection.recv()
            try:
                result = work(job, reading)
            except Exception as error:
                error.add_note(traceback.format_exc())
                connection.send(("failed", error))
            else:
                connection.send(("done", result))
