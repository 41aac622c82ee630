"""One stored step: written with a record of what it holds, and believed only as far as that record bears it out.

orbax restores a flipped bit without a word, casts a wrong dtype silently and lists truncated steps as the latest. So
every array that is read is compared with its fingerprint, every dtype and shape with what is wanted, and the record
(fingerprints, forms, and what the caller keeps beside the state) with its own checksum.
"""

import functools
import hashlib
import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from jaxssl.errors import UserError
from jaxssl.train.fingerprint import Leaf, describe, empty_branches, fingerprint, named, nested, readable

Manager = ocp.CheckpointManager
Described = Mapping[str, Mapping[str, Any]]
LONGEST_SAVE = 600
"""Seconds after which a save of several processes has failed, as one of them may be unable to do its part."""


class Damaged(Exception):
    """A step that cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Restored:
    """What a step held, found equal to the bit to what was saved."""

    step: int
    state: Any
    meta: dict[str, Any]


def open_manager(folder: Path, **options: Any) -> Manager:
    _hush_orbax()
    try:
        together = ocp.AsyncOptions(timeout_secs=LONGEST_SAVE) if jax.process_count() > 1 else None
        return Manager(folder, options=ocp.CheckpointManagerOptions(async_options=together, **options))
    except OSError as error:
        raise UserError(f"{folder} cannot hold checkpoints ({brief(error)}); choose another workdir.") from error


def begin_write(manager: Manager, step: int, state: Any, meta: dict[str, Any]) -> None:
    """Begin to write a state and what belongs to it as one step: it is there as a whole or not at all."""
    hashes = readable(fingerprint(state))
    leaves = {path: entry | {"hash": hashes[path]} for path, entry in describe(state).items()}
    # As JSON will give it back: a tuple becomes a list before the checksum is taken.
    record = json.loads(json.dumps({"meta": meta, "leaves": leaves, "empty": empty_branches(state)}))
    sealed = record | {"sha256": _digest(record)}
    items = ocp.args.Composite(
        state=ocp.args.StandardSave(_with_elements(named(state))), meta=ocp.args.JsonSave(sealed)
    )
    manager.save(step, args=items, force=True)


def newest_good(manager: Manager, load: Callable[[int], Restored]) -> tuple[Restored, dict[int, str]] | None:
    """The newest step that loads, and what is wrong with each newer one; None where there is no step."""
    damaged = {}
    for step in sorted(manager.all_steps(), reverse=True):
        try:
            return load(step), damaged
        except Damaged as error:
            damaged[step] = str(error)
    if damaged:
        # They stay where they are: were they set aside, the same command would begin anew without a word.
        faults = "; ".join(f"step {step}: {reason}" for step, reason in damaged.items())
        raise UserError(
            f"Every checkpoint in {manager.directory} is damaged ({faults}); "
            "bring one back from a copy, or remove the folder to begin anew."
        )
    return None


def load_like(manager: Manager, step: int, abstract: Any) -> Restored:
    """A step in the form, types and shardings of `abstract`; refused when it was saved in another form."""
    record = _read_record(manager, step)
    _refuse_mismatch(Path(manager.directory) / str(step), record["leaves"], describe(abstract))
    targets = named(abstract)
    arrays = _read_arrays(manager, step, targets, record["leaves"])
    state = jax.tree.unflatten(jax.tree.structure(abstract), [arrays[path] for path in targets])
    return Restored(step, state, record["meta"])


def load_plain(manager: Manager, step: int) -> Restored:
    """A step as nested dicts of numpy arrays, typed keys as their words."""
    record = _read_record(manager, step)
    targets = {path: _host_target(**entry) for path, entry in record["leaves"].items()}
    arrays = _read_arrays(manager, step, targets, record["leaves"])
    return Restored(step, nested(arrays, record["empty"]), record["meta"])


def brief(error: BaseException) -> str:
    """The first line of what lies at the root of an error, short enough for a sentence: its beginning and its end."""
    while error.__cause__:
        error = error.__cause__
    line = (str(error).splitlines() or [""])[0]
    short = line if len(line) <= 200 else f"{line[:97]} ... {line[-98:]}"
    return f"{type(error).__name__}: {short}".rstrip(": ")


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _read_record(manager: Manager, step: int) -> dict[str, Any]:
    item = ocp.args.Composite(meta=ocp.args.JsonRestore())
    record = _attempt(lambda: manager.restore(step, args=item)["meta"])
    if not isinstance(record, dict) or record.pop("sha256", None) != _digest(record):
        raise Damaged("its record differs from its checksum")
    return record


def _read_arrays(manager: Manager, step: int, targets: dict[str, Leaf], recorded: Described) -> dict[str, Leaf]:
    """The arrays of a step in the types, shapes and places of `targets`, compared with their fingerprints."""
    item = ocp.args.Composite(state=ocp.args.StandardRestore(_with_elements(targets)))
    arrays = _attempt(lambda: manager.restore(step, args=item)["state"])
    found = readable(fingerprint(nested(arrays)))
    wrong = [path for path in found if found[path] != recorded[path]["hash"]]
    if wrong:
        raise Damaged(f"{_first(wrong)} differs from its fingerprint")
    return arrays | {path: _without_elements(leaf) for path, leaf in targets.items() if not leaf.size}


def _attempt(restore: Callable[[], Any]) -> Any:
    """Whatever a reader raises is damage, save what a good step would raise as well."""
    try:
        return restore()
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        if isinstance(error, PermissionError) or "PERMISSION_DENIED" in str(error):
            raise UserError(f"A checkpoint may not be read ({brief(error)}); give permission.") from error
        raise Damaged(brief(error)) from error


def _refuse_mismatch(where: Path, stored: Described, wanted: Described) -> None:
    def form(described: Described, path: str) -> str:
        entry = described.get(path)
        return f"{entry['dtype']}{list(entry['shape'])}" if entry else "absent"

    differing = [path for path in sorted({*stored, *wanted}) if form(stored, path) != form(wanted, path)]
    if differing:
        path = differing[0]
        raise UserError(
            f"{where} was saved by another recipe: {_first(differing)} is {form(stored, path)} there and "
            f"{form(wanted, path)} here; use the recipe it was made with, or another workdir."
        )


def _host_target(dtype: str, shape: list[int], **_: str) -> np.ndarray:
    return np.empty(shape, np.uint32 if dtype.startswith("key<") else jnp.dtype(dtype))


def _with_elements(leaves: dict[str, Leaf]) -> dict[str, Leaf]:
    """orbax refuses arrays without elements; their form is in the record."""
    return {path: leaf for path, leaf in leaves.items() if leaf.size}


def _without_elements(leaf: Leaf) -> Leaf:
    return leaf if isinstance(leaf, np.ndarray) else jnp.zeros(leaf.shape, leaf.dtype, device=leaf.sharding)


def _first(paths: list[str]) -> str:
    return paths[0] + (f" (and {len(paths) - 1} more)" if len(paths) > 1 else "")


def _in_full(record: logging.LogRecord) -> str:
    """A message, with where the error comes from that it may tell of."""
    return record.getMessage() + "".join(traceback.format_exception(*record.exc_info) if record.exc_info else ())


@functools.cache
def _hush_orbax() -> None:
    """Keep orbax's own reports off the terminal, once: whatever fails here is raised or told in a sentence.

    It logs every failure with its traceback, and every read-only manager with three warnings. Beside an array that
    cannot be read it abandons the reads of the others, each of which complains once it ends or is collected.
    """
    logging.getLogger("absl").addFilter(lambda record: "/orbax/" not in record.pathname)
    logging.getLogger("asyncio").addFilter(lambda record: not re.search("orbax|tensorstore", _in_full(record)))
    report = sys.unraisablehook

    def report_others(fault: "sys.UnraisableHookArgs") -> None:
        code = getattr(fault.object, "cr_code", None)
        abandoned = "/orbax/" in code.co_filename if code else str(fault.exc_value) == "Event loop is closed"
        if not (abandoned and isinstance(fault.exc_value, Exception)):  # a signal that asks for the end is none
            report(fault)

    sys.unraisablehook = report_others
