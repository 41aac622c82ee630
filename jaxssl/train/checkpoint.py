"""Checkpoints: written while training goes on, checked when read, the step before used when one is damaged."""

import functools
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import jax
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import LatestN

from jaxssl.errors import UserError
from jaxssl.train.processes import words_of_all
from jaxssl.train.stored import (
    Manager,
    Restored,
    begin_write,
    brief,
    load_like,
    load_plain,
    newest_good,
    open_manager,
)

Warn = Callable[[str], None]
TRIES = 4
"""How often a manager is closed whose save failed: each time another of its threads may raise the error it holds."""


class Checkpoints:
    """The checkpoints of one run: its newest `keep` steps. Close it, or use it in a `with`, to finish the last save."""

    def __init__(self, folder: str | Path, keep: int, warn: Warn) -> None:
        self.folder = Path(folder).absolute()
        self._warn = warn
        self._keep = keep
        self._pending: int | None = None
        self._failure: str | None = None
        self._manager = self._open()

    def save(self, step: int, state: Any, meta: dict[str, Any]) -> None:
        """Begin to save a state (a tree of arrays) and what belongs to it (JSON); a step that is there already stays.

        The state is copied before this returns, so it may be donated. Training outlives a save that fails: that is
        reported at the next save, which tries again, and raised by `close` when there is no next one. Of several
        processes one that cannot even begin ends, and the others with it: they are waiting for it inside orbax.
        """
        self._settle()
        if step in self._manager.all_steps():
            return
        try:
            begin_write(self._manager, step, state, meta)
            self._pending = step
        except OSError as error:
            if jax.process_count() > 1:
                raise UserError(self._in_words(step, brief(error))) from error
            self._warn(self._fail(step, brief(error)))

    def put_off(self, step: int, error: OSError) -> None:
        """Take a step that cannot be saved yet, for what it needs is not on the disk, as a save that failed."""
        self._settle()
        self._warn(self._fail(step, brief(error)))

    def restore(self, abstract: Any) -> Restored | None:
        """The newest good step in the form, types and shardings of `abstract`; None when nothing was saved yet."""
        self._settle()
        found = newest_good(self._manager, functools.partial(load_like, self._manager, abstract=abstract))
        if found is None:
            return None
        restored, damaged = found
        for step, reason in damaged.items():
            kept = self._set_aside(step)
            self._warn(_fallen_back(self.folder, step, reason, restored) + f"; the damaged one is kept as {kept}.")
        return restored

    def latest_step(self) -> int | None:
        """The newest step on disk, be it good or damaged."""
        self._settle()
        return self._manager.latest_step()

    def close(self) -> None:
        """Wait for the save that is under way; raises when the last save failed."""
        self._wait()
        self._manager.close()
        if self._failure:
            raise UserError(self._failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            return self.close()
        # What stopped the run is what its user must see, and of the other processes nothing is known.
        if self._pending is not None and (fault := self._fault()):
            self._warn(self._in_words(self._pending, fault))
        return _drain(self._manager)

    def _settle(self) -> None:
        """Wait for the save that is under way, and tell when it failed."""
        if failure := self._wait():
            self._warn(failure)

    def _wait(self) -> str | None:
        """What is to be told of the save that was under way, when it failed in any process: then it has in all."""
        if self._pending is None:
            return None
        step, faults = self._pending, words_of_all(self._fault())
        self._pending = self._failure = None
        if not any(faults):
            return None
        if len(faults) == 1:
            return self._fail(step, faults[0])
        return self._fail(step, "; ".join(f"process {index}: {fault}" for index, fault in enumerate(faults) if fault))

    def _fault(self) -> str:
        """What was wrong with the save under way, if anything; it is reported, and nothing of it may stop training."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            return brief(error)
        return ""

    def _fail(self, step: int, reason: str) -> str:
        """Note what went wrong, and begin with a new manager: the old one would raise old errors at new saves."""
        self._failure = self._in_words(step, reason)
        _drain(self._manager)
        self._manager = self._open()
        return self._failure

    def _in_words(self, step: int, reason: str) -> str:
        return (
            f"Step {step} could not be saved in {self.folder} ({reason}); the steps before it are kept: "
            "make room or give permission there."
        )

    def _open(self) -> Manager:
        _prepare(self.folder)
        return open_manager(self.folder, preservation_policy=LatestN(n=self._keep))

    def _set_aside(self, step: int) -> str:
        """Rename a step so that it is kept but no longer listed; its new name."""
        name = f"damaged-{step}"
        while (self.folder / name).exists():
            name += "-again"
        multihost_utils.sync_global_devices("named")
        if jax.process_index() == 0:
            (self.folder / str(step)).rename(self.folder / name)
        multihost_utils.sync_global_devices("set aside")
        self._manager.reload()
        return name


def read(folder: str | Path, warn: Warn) -> Restored:
    """The newest good step of a run as nested dicts of numpy arrays, typed keys as their words; changes nothing there.

    Tuples and lists become dicts with keys "0", "1", ...: no method and no optimiser need be known.
    """
    folder = Path(folder).absolute()
    found = None
    if folder.is_dir():
        with closing(open_manager(folder, read_only=True)) as manager:
            found = newest_good(manager, functools.partial(load_plain, manager))
    if found is None:
        raise UserError(f"There are no checkpoints in {folder}; name a run that has saved a step.")
    restored, damaged = found
    for step, reason in damaged.items():
        warn(_fallen_back(folder, step, reason, restored) + ".")
    return restored


def _prepare(folder: Path) -> None:
    """Make the folder and clear away what killed saves left in it."""
    if jax.process_index() == 0:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be made ({brief(error)}); choose another workdir.") from error
        for leftover in folder.glob("*.orbax-checkpoint-tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
    multihost_utils.sync_global_devices("prepared")


def _drain(manager: Manager) -> None:
    """Close a manager whose save failed."""
    for _ in range(TRIES):
        try:
            return manager.close()
        except Exception:  # noqa: S112  the first of them is reported already
            continue


def _fallen_back(folder: Path, step: int, reason: str, restored: Restored) -> str:
    return f"Checkpoint {folder / str(step)} is damaged ({reason}); going on from step {restored.step}"
