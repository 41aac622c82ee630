"""How files are written: beside, and renamed when they are whole and on the disk; and who may write."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when all went well and is gone otherwise; a reader sees old or new.

    It keeps the ending, by which libraries know what to write.
    """
    unfinished = path.with_name(f".part-{path.name}")
    try:
        yield unfinished
        # Or a power cut might leave the new name with nothing in it.
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def put_text(path: Path, text: str) -> None:
    """Write a small text whole."""
    with beside(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def take(lock: IO[str], wait: bool = False) -> bool:
    """Whether this open file is now this process's alone; with `wait` it always is, sooner or later.

    The system lets go of it when the file is closed or the process ends, however that happens.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
