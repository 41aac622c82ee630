"""SIGTERM, by which schedulers take a machine away: a run ends with 75, once the step under way is finished and saved.

That code, EX_TEMPFAIL, says that the same command would go on. Where there is no step yet the run ends at once; between
steps nothing is waited for but the save.
"""

import functools
import itertools
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

    _hear_again()
    with _handler(end):
        yield


@contextmanager
def ended_after_a_save(save: Callable[[Tick], bool]) -> Iterator[Hook]:
    """A hook that saves the step at which SIGTERM is noticed and raises `Preempted`; all processes notice it at one.

    `save` tells whether the step is there when it returns.
    """
    told: list[bool] = []
    ticks = itertools.count()

    def hook(tick: Tick) -> None:
        # Where there are others jax listens to the signal and tells all at which step to stop, counted without gaps.
        alone = jax.process_count() == 1
        if told if alone else multihost_utils.reached_preemption_sync_point(next(ticks)):
            saved = "is saved" if save(tick) else "could not be saved"
            raise Preempted(f"Told to stop (SIGTERM) at step {tick.step}, which {saved}; the same command continues.")

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


@functools.cache
def _hear_again() -> None:
    """Where Python lets no exception out, as of what is done while garbage is collected, the signal comes once more:
    that one, or Ctrl-C.

    Asked for once and for good, as others lay hooks of theirs over this one.
    """
    report = sys.unraisablehook

    def look(lost: "sys.UnraisableHookArgs") -> None:
        if not isinstance(lost.exc_value, Preempted | KeyboardInterrupt):
            report(lost)
            return
        _send_again(lost.exc_value)

    sys.unraisablehook = look


def _send_again(told: BaseException) -> None:
    """Send the signal that raised this, in a moment."""
    sent = signal.SIGTERM if isinstance(told, Preempted) else signal.SIGINT
    again = threading.Timer(MOMENT, os.kill, (os.getpid(), sent))
    again.daemon = True
    try:
        again.start()
    except (Preempted, KeyboardInterrupt) as another:
        # On a busy machine it comes while this is still being done, out of which no exception gets either; or it is
        # another one. One of them is sent, and of two kinds SIGTERM, after which schedulers wait for an end.
        again.cancel()
        _send_again(another if isinstance(another, Preempted) else told)


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
