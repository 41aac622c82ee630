"""SIGTERM, by which schedulers take a machine away: the step under way is finished and saved, and the run ends with 75.

That code, EX_TEMPFAIL, says that the same command would go on. Between steps nothing is waited for but the save.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax.experimental import multihost_utils

from jaxssl.errors import Preempted
from jaxssl.train.loop import Hook, Tick

MOMENT = 0.05
"""Seconds after which a signal is sent again that nobody could hear."""


@contextmanager
def ended_at_once() -> Iterator[None]:
    """SIGTERM raises `Preempted`: where there is no step to be saved."""

    def end(*_: Any) -> None:
        raise Preempted("Told to stop (SIGTERM); the same command continues from what is on the disk.")

    with _handler(end), _heard_again():
        yield


@contextmanager
def ended_after_a_save(save: Callable[[Tick], None]) -> Iterator[Hook]:
    """A hook that saves the step at which SIGTERM is noticed and raises `Preempted`; all processes notice it at one."""
    told: list[bool] = []
    ticks = iter(range(2**62))

    def hook(tick: Tick) -> None:
        # Where there are others jax listens to the signal and tells all at which step to stop, counted without gaps.
        alone = jax.process_count() == 1
        if told if alone else multihost_utils.reached_preemption_sync_point(next(ticks)):
            save(tick)
            raise Preempted(f"Told to stop (SIGTERM) at step {tick.step}, which is saved; the same command continues.")

    with _handler(lambda *_: told.append(True)):
        try:
            yield hook
        except Exception as error:
            # Whatever went wrong on the way out, such as a disk that vanished: nothing else may be begun.
            if told:
                raise Preempted(f"Told to stop (SIGTERM), and then: {error}.") from error
            raise
        if told:
            raise Preempted("Told to stop (SIGTERM) after the last step; the same command does what comes after it.")


@contextmanager
def _heard_again() -> Iterator[None]:
    """Where Python lets no exception out, as of what is done while garbage is collected, the signal comes once more."""
    before = sys.unraisablehook

    def look(lost: Any) -> None:
        if isinstance(lost.exc_value, Preempted):
            threading.Timer(MOMENT, os.kill, (os.getpid(), signal.SIGTERM)).start()
        else:
            before(lost)

    sys.unraisablehook = look
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextmanager
def _handler(handle: Callable[..., None]) -> Iterator[None]:
    """Listen to SIGTERM for a while: in the main thread, which alone may, of a process that jax does not listen for."""
    if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
