"""One of the processes of a run dies: the others end within a minute and say so, rather than wait for it.

Where the network tells, a collective fails and `lost_peers_named` makes a sentence of it. Where it does not (a machine
without power, a process that hangs), jax misses the other's heartbeat and aborts this process from a thread of its own;
that leaves no Python to speak, so a shell that waits for our end does.
"""

import atexit
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from jaxssl.errors import UserError

SECONDS = 30
"""Without a heartbeat a process counts as gone, and so long it is waited for at the end."""

AGAIN = "start all of them again, and the same command continues from what is saved"
LOST = re.compile(r"(?s)[A-Z_]+: .*(?i:\bgloo\b|nccl|heartbeat|barrier|connection)|(UNAVAILABLE|DEADLINE_EXCEEDED): ")
"""With a status begins what jax raises, a `JaxRuntimeError` or, where it waits for each program, a `ValueError`."""

GONE = threading.Event()
"""Set once another process is known to be gone."""


class LostPeer(UserError):
    """A process of this run is gone, and nothing more can be computed without it."""

    exit_code = 75


@contextmanager
def lost_peers_named() -> Iterator[None]:
    """What jax raises where another process is gone becomes `LostPeer`, and at its end this one waits for nobody."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if jax.process_count() == 1 or not LOST.match(str(error)):
            raise
        GONE.set()
        reason = str(error).partition("\n")[0].rstrip(".")
        raise LostPeer(f"Another process of this run is gone ({reason}); {AGAIN}.") from error


def speak_when_aborted(index: int) -> None:
    """Have a shell say what has happened if this process ends without coming to the end of Python."""
    sentence = (
        f"jaxssl: process {index} of this run was ended from outside, or by jax because another one is gone (the lines "
        f"above say); {AGAIN}."
    )
    # It outlives the signals that are sent to the whole group, and ends with the pipe at the latest.
    script = """trap "" INT TERM HUP; read -r word || echo "$0" >&2"""
    shell = subprocess.Popen(  # noqa: S603 - fixed words
        ["/bin/sh", "-c", script, sentence], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    atexit.register(_leave, shell)


def _leave(shell: subprocess.Popen) -> None:
    """The end of Python. jax's own part in it would wait for those who are gone, and then abort."""
    shell.communicate(b"ended\n")
    if GONE.is_set():
        sys.stdout.flush()
        os._exit(LostPeer.exit_code)
