"""Checkpoints that are checked: one orbax step holds the state, its fingerprints and all else a run needs to go on.

orbax restores a flipped bit without a word, casts a wrong dtype silently and lists truncated steps as the latest. So
nothing that is read here is believed: every array is compared with its fingerprint, every dtype and shape with what is
wanted, and a damaged step is set aside in favour of the one before, saying so.
"""

import functools
import gc
import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import LatestN

from jaxssl.errors import UserError
from jaxssl.train.fingerprint import Leaf, describe, empty_branches, fingerprint, named, nested, readable

Warn = Callable[[str], None]
Described = Mapping[str, Mapping[str, Any]]

# orbax logs every failure with its traceback and every read-only manager with three warnings; whatever fails here is
# raised or reported in a sentence.
logging.getLogger("absl").addFilter(lambda record: "/orbax/" not in record.pathname)


@dataclass(frozen=True)
class Restored:
    """What a step held, found equal to the bit to what was saved."""

    step: int
    state: Any
    meta: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run: its newest `keep` steps, written while training goes on."""

    def __init__(self, folder: str | Path, keep: int, warn: Warn) -> None:
        self.folder = Path(folder).absolute()
        self._warn = warn
        self._pending: int | None = None
        self._failure: str | None = None
        self._open = functools.partial(_open, self.folder, preservation_policy=LatestN(n=keep))
        _prepare(self.folder)
        self._manager = self._open()

    def save(self, step: int, state: Any, meta: dict[str, Any]) -> None:
        """Begin to save a state (a tree of arrays) and what belongs to it (JSON); a step that is there already stays.

        The state is copied before this returns, so it may be donated. Training outlives a save that fails: that is
        reported at the next save, which tries again, and raised by `close` when there is no next one.
        """
        self._settle()
        if step in self._manager.all_steps():
            return
        record = _seal({"meta": meta, "leaves": _record(state), "empty": empty_branches(state)})
        arrays = {path: leaf for path, leaf in named(state).items() if leaf.size}
        items = ocp.args.Composite(state=ocp.args.StandardSave(arrays), meta=ocp.args.JsonSave(record))
        try:
            self._manager.save(step, args=items, force=True)
            self._pending = step
        except OSError as error:
            self._fail(step, error)
            self._warn(str(self._failure))

    def restore(self, abstract: Any) -> Restored | None:
        """The newest good step in the form, types and shardings of `abstract`; None when nothing was saved yet."""
        wanted, leaves = describe(abstract), named(abstract)

        def load(step: int) -> Restored:
            record = _read_record(self._manager, step)
            _refuse_mismatch(self.folder / str(step), record["leaves"], wanted)
            arrays = _read_arrays(self._manager, step, leaves, record["leaves"])
            state = jax.tree.unflatten(jax.tree.structure(abstract), [arrays[path] for path in leaves])
            return Restored(step, state, record["meta"])

        self._settle()
        found = _newest_good(self._manager, load)
        if found is None:
            return None
        restored, damaged = found
        for step, reason in damaged.items():
            kept = self._set_aside(step)
            self._warn(
                _fallen_back(self.folder / str(step), reason, restored) + f"; the damaged one is kept as {kept}."
            )
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
        try:
            self.close()
        except UserError as error:
            if kind is None:
                raise
            self._warn(str(error))  # what stopped the run is what its user must see

    def _settle(self) -> None:
        """Wait for the save that is under way, and tell when it failed."""
        if self._pending is not None:
            self._wait()
            if self._failure:
                self._warn(self._failure)

    def _wait(self) -> None:
        if self._pending is None:
            return
        step, self._pending, self._failure = self._pending, None, None
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # any fault of a save is reported, and none may stop training
            self._fail(step, error)

    def _fail(self, step: int, error: Exception) -> None:
        """Note what went wrong, and begin with a new manager: the old one would raise old errors at new saves."""
        self._failure = (
            f"Step {step} could not be saved in {self.folder} ({_brief(error)}); the steps before it are kept: "
            "make room or give permission there."
        )
        _drain(self._manager)
        _prepare(self.folder)
        self._manager = self._open()

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
    if not folder.is_dir():
        raise UserError(f"There are no checkpoints in {folder}: no such folder; name a run that has saved a step.")

    def load(step: int) -> Restored:
        record = _read_record(manager, step)
        arrays = _read_arrays(manager, step, _host_targets(record["leaves"]), record["leaves"])
        return Restored(step, nested(arrays, record["empty"]), record["meta"])

    with closing(_open(folder, read_only=True)) as manager:
        found = _newest_good(manager, load)
    if found is None:
        raise UserError(f"There are no checkpoints in {folder}; name a run that has saved a step.")
    restored, damaged = found
    for step, reason in damaged.items():
        warn(_fallen_back(folder / str(step), reason, restored) + ".")
    return restored


class _Damaged(Exception):
    """A step that cannot be used; the message says what is wrong with it."""


def _prepare(folder: Path) -> None:
    """Make the folder and clear away what killed saves left in it."""
    if jax.process_index() == 0:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be made ({_brief(error)}); choose another workdir.") from error
        for leftover in folder.glob("*.orbax-checkpoint-tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
    multihost_utils.sync_global_devices("prepared")


def _open(folder: Path, **options: Any) -> ocp.CheckpointManager:
    try:
        return ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(**options))
    except OSError as error:
        raise UserError(
            f"{folder} cannot be used for checkpoints ({_brief(error)}); choose another workdir."
        ) from error


def _drain(manager: ocp.CheckpointManager) -> None:
    """Close a manager whose save failed; each of its threads keeps an error of its own and raises it once."""
    for _ in range(4):
        try:
            return manager.close()
        except Exception:  # noqa: S112  the first of them is reported already
            continue


def _record(state: Any) -> dict[str, dict[str, Any]]:
    hashes = readable(fingerprint(state))
    return {path: entry | {"hash": hashes[path]} for path, entry in describe(state).items()}


def _seal(record: dict[str, Any]) -> dict[str, Any]:
    """The record as JSON gives it back, with its own checksum."""
    plain = json.loads(json.dumps(record))
    return plain | {"sha256": _digest(plain)}


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _newest_good(
    manager: ocp.CheckpointManager, load: Callable[[int], Restored]
) -> tuple[Restored, dict[int, str]] | None:
    """The newest step that loads, and what is wrong with each newer one."""
    damaged = {}
    with _quiet_abandoned_reads():
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                return load(step), damaged
            except _Damaged as error:
                damaged[step] = str(error)
    if damaged:
        # They stay where they are: set aside, the same command would begin anew without a word.
        faults = "; ".join(f"step {step}: {reason}" for step, reason in damaged.items())
        raise UserError(
            f"Every checkpoint in {manager.directory} is damaged ({faults}); "
            "bring one back from a copy, or remove the folder to begin anew."
        )
    return None


@contextmanager
def _quiet_abandoned_reads() -> Iterator[None]:
    """orbax abandons the reads beside one that failed, and each would complain on stderr once it ends."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
        gc.collect()
    finally:
        sys.unraisablehook = hook


def _read_record(manager: ocp.CheckpointManager, step: int) -> dict[str, Any]:
    item = ocp.args.Composite(meta=ocp.args.JsonRestore())
    record = _attempt(lambda: manager.restore(step, args=item)["meta"])
    if not isinstance(record, dict) or record.pop("sha256", None) != _digest(record):
        raise _Damaged("its record differs from its checksum")
    return record


def _read_arrays(
    manager: ocp.CheckpointManager, step: int, targets: dict[str, Leaf], recorded: Described
) -> dict[str, Leaf]:
    """The arrays of a step in the types, shapes and places of `targets`, compared with their fingerprints."""
    full = {path: leaf for path, leaf in targets.items() if leaf.size}
    item = ocp.args.Composite(state=ocp.args.StandardRestore(full))
    arrays = _attempt(lambda: manager.restore(step, args=item)["state"])
    found = readable(fingerprint(nested(arrays)))
    wrong = [path for path in full if found[path] != recorded[path]["hash"]]
    if wrong:
        raise _Damaged(f"{wrong[0]}{_and_more(wrong)} differs from its fingerprint")
    # orbax cannot save an array without elements.
    return arrays | {path: _without_elements(leaf) for path, leaf in targets.items() if not leaf.size}


def _attempt(restore: Callable[[], Any]) -> Any:
    """Whatever a reader raises is damage, save what a good step would raise as well."""
    try:
        return restore()
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        reason = _brief(error)
        denied = isinstance(error, PermissionError) or "PERMISSION_DENIED" in str(error)
    if denied:
        raise UserError(f"A checkpoint may not be read ({reason}); give permission.")
    raise _Damaged(reason)


def _refuse_mismatch(where: Path, stored: Described, wanted: Described) -> None:
    """Refuse a state of another form: orbax would cast its dtypes silently."""

    def form(described: Described, path: str) -> str:
        entry = described.get(path)
        return f"{entry['dtype']}{list(entry['shape'])}" if entry else "absent"

    differing = [path for path in sorted({*stored, *wanted}) if form(stored, path) != form(wanted, path)]
    if differing:
        path = differing[0]
        raise UserError(
            f"{where} was saved by another recipe: {path} is {form(stored, path)} there and {form(wanted, path)} here"
            f"{_and_more(differing)}; use the recipe it was made with, or another workdir."
        )


def _host_targets(recorded: Described) -> dict[str, np.ndarray]:
    def dtype(name: str) -> Any:
        return np.uint32 if name.startswith("key<") else jnp.dtype(name)

    return {path: np.empty(entry["shape"], dtype(entry["dtype"])) for path, entry in recorded.items()}


def _without_elements(leaf: Leaf) -> Leaf:
    return leaf if isinstance(leaf, np.ndarray) else jnp.zeros(leaf.shape, leaf.dtype, device=leaf.sharding)


def _fallen_back(where: Path, reason: str, restored: Restored) -> str:
    return f"Checkpoint {where} is damaged ({reason}); going on from step {restored.step}"


def _and_more(paths: list[str]) -> str:
    return f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""


def _brief(error: Exception) -> str:
    """The first line of an error, short enough for a sentence."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}".rstrip(": ")
