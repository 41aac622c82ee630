"""How files are written: beside, and renamed when they are whole and on the disk; and who may write."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PART = ".part-"
"""What the name of an unfinished file begins with."""
ABANDONED = 3600.0
"""Seconds after which nobody is still at an unfinished file: whoever was has been killed."""


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when all went well and is gone otherwise; a reader sees old or new.

    It is nobody else's, also where several write one file at once: the last one stays. It keeps the ending, by which
    libraries know what to write.
    """
    unfinished = path.with_name(f"{PART}{secrets.token_hex(4)}-{path.name}")
    try:
        yield unfinished
        # Or a power cut might leave the new name with nothing in it.
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        # A full disk does not say what could not be written, and nobody knows the unfinished name.
        if error.filename is None or Path(str(error.filename)) == unfinished:
            error.filename = str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def clear_abandoned(folder: Path) -> None:
    """Remove the unfinished files that killed processes have left in a folder."""
    for path in folder.glob(f"{PART}*"):
        with suppress(OSError):  # another clears as well
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def can_be_made(folder: Path) -> bool:
    """Whether there is a folder to write into, or room for one."""
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK)


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


def take_or_warn(lock: IO[str], warn: Callable[[str], None], wait: bool = False) -> bool:
    """The same; where the file system knows no locks it is this process's as well, with a warning."""
    try:
        return take(lock, wait)
    except OSError as error:
        folder = Path(lock.name).parent
        warn(
            f"The file system of {folder} knows no locks ({error.strerror}): see to it yourself that no other process "
            "works in this folder."
        )
    return True
