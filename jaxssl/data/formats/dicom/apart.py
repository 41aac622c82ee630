"""Decoders that are written in C work in a process of their own: what is damaged may end theirs or hold it up.

Such a process is kept for the files that follow, and a new one takes the place of one that ended.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped

PATIENCE = 9.0
"""Seconds for a frame."""
IDLE: list[subprocess.Popen] = []
"""Processes of this one that wait for a file; each decodes one at a time."""


class DecoderError(RuntimeError):
    """What the decoders said, or that they ended."""


def decoded(path: Path, frames: int, plugin: str) -> Iterator[Shaped[np.ndarray, "y x *channel"]]:
    """The frames of a file, as pydicom gives them by one of its plugins, or by any of them."""
    process, whole = _waiting() or _start(), False
    try:
        asked, answers = _pipes(process)
        asked.write(json.dumps([os.fsencode(path).hex(), frames, plugin]).encode() + b"\n")
        asked.flush()
        while "failed" not in (said := _next(process, answers)):
            shape, kind = said["shape"], np.dtype(said["dtype"])
            pixels = np.frombuffer(answers.read(kind.itemsize * int(np.prod(shape))), kind)
            yield pixels.reshape(shape)
        whole = True
        if said["failed"]:
            raise DecoderError(said["failed"])
    except BrokenPipeError as error:
        raise DecoderError("the decoder ended") from error
    finally:
        if whole:
            IDLE.append(process)
        else:
            _stop(process)


def _next(process: subprocess.Popen, answers: IO[bytes]) -> dict[str, Any]:
    """What the process says next, if it does so in time."""
    watch = threading.Timer(PATIENCE, process.kill)
    watch.start()
    line = answers.readline()
    watch.cancel()
    if not line:
        raise DecoderError("the decoder ended, or took too long")
    return json.loads(line)


def _waiting() -> subprocess.Popen | None:
    """A process that waits, and has not ended since."""
    while IDLE:
        process = IDLE.pop()
        if process.poll() is None:
            return process
        _stop(process)
    return None


def _pipes(process: subprocess.Popen) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("a decoder has pipes")
    return process.stdin, process.stdout


def _start() -> subprocess.Popen:
    return subprocess.Popen(  # noqa: S603 - this Python, and a file of ours
        [sys.executable, "-P", str(Path(__file__).with_name("decoder.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _stop(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


@atexit.register
def stop_all() -> None:
    """End the processes that wait."""
    while IDLE:
        _stop(IDLE.pop())


# A fork shares the pipes of its parent, and must not take answers that are meant for that one.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=IDLE.clear)
