"""What a run takes over, from another run or from a file: parts of networks, where they fit and where nothing leaks."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Column, Table

from jaxssl import config
from jaxssl.data.seen import NOBODY, Seen, refuse_leak
from jaxssl.data.source import Source
from jaxssl.errors import UserError
from jaxssl.methods.base import Tree
from jaxssl.methods.parts import adopt, fit
from jaxssl.models.weights.account import Line, summed_up
from jaxssl.models.weights.files import File, read_file
from jaxssl.models.weights.native import from_native, is_native, parts_in
from jaxssl.models.weights.torch import from_torch
from jaxssl.recipe import Recipe
from jaxssl.run.common import load_run
from jaxssl.run.terminal import warner
from jaxssl.train.state import State, weights
from jaxssl.workdir import Workdir, existing

KNOWN = ("encoder", "decoder", "head")
ACCOUNT = "weights.json"
"""In a run's folder, what became of each tensor of the file it started from."""
UNKNOWN = "not known, as the file does not say"


@dataclass(frozen=True, eq=False)
class Start:
    """What a run begins with."""

    parts: dict[str, Tree] = field(default_factory=dict)
    """Variables of the parts that are handed over."""
    seen: Seen = NOBODY
    """Subjects that they were learnt from, as far as anyone knows."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What run.json says of them."""
    account: list[Line] = field(default_factory=list)
    """What became of the tensors of a file."""


def start_of(recipe: Recipe, source: Source, folder: Workdir, abstract: State, console: Console) -> Start:
    """What `init` asks for, which has not seen the test subjects; of a network in the form of `abstract`.

    A run that has saved a step has it already: neither run nor file is read again, and may be gone.
    """
    init = recipe.init
    if folder.has_step:
        return Start()
    if init.run:
        other = existing(init.run)
        refuse_leak(other.seen(), source.seen(source.split.test), init.run)
        parts = _parts_of_run(recipe, other, abstract, console)
        _, adapted = fit(abstract.params, abstract.carry, parts)
        facts = {"init": init.run, "init_parts": sorted(parts), "init_adapted": adapted}
        # A file at the beginning of a chain of runs stays known at its end.
        facts |= {name: value for name, value in other.facts().items() if name == "init_weights"}
        return Start(parts, other.seen(), facts)
    if not init.weights:
        return Start(facts={"init": None, "init_parts": []})
    return _start_of_file(recipe, read_file(init.weights), source, folder, abstract)


def show(start: Start, recipe: Recipe, console: Console) -> None:
    """Say what a run begins with; of a file, what became of its tensors."""
    if not start.parts:
        return
    console.print(f"Starting from {' and '.join(start.parts)} of {recipe.init.run or recipe.init.weights}.")
    for sentence in start.facts.get("init_adapted", ()):
        console.print(f"Adapted {sentence}")
    if not start.account:
        return
    silent = "" if start.facts["init_weights"]["subjects_seen"] != UNKNOWN else f" Subjects seen: {UNKNOWN}."
    table = Table(
        *("tensors", "", Column("which", overflow="fold"), "why"),
        caption=f"Each of them is in {ACCOUNT} of the run's folder.{silent}",
    )
    for row in summed_up(start.account):
        table.add_row(str(row.count), row.fate, row.names, row.why)
    console.print(table)


def write_account(start: Start, folder: Workdir) -> None:
    """The full list, of which the terminal has the sum."""
    if start.account:
        file = start.facts["init_weights"]
        config.write_json({**file, "tensors": [line._asdict() for line in start.account]}, folder.path / ACCOUNT)


def take_over(taken: dict[str, Tree], state: State, abstract: State) -> State:
    """The state with these variables in their places, in the average as well, laid out as `abstract` says."""
    params, carry = adopt(state.params, state.carry, taken)
    state = dataclasses.replace(state, params=params, carry=carry)
    if state.average:
        average = weights(*adopt(state.average["params"], state.average, taken))
        state = dataclasses.replace(state, average=average)

    placed: set[int] = set()

    def put(leaf: Any, wanted: jax.ShapeDtypeStruct) -> jax.Array:
        if isinstance(leaf, jax.Array):
            # A teacher shares with its student what was not taken over, but a step gives each array away by itself.
            shared = id(leaf) in placed
            placed.add(id(leaf))
            return jnp.copy(leaf) if shared else leaf
        # Each process puts down what its own devices hold; device_put would first compare the whole among them all.
        return jax.make_array_from_callback(leaf.shape, wanted.sharding, lambda index: leaf[index])

    # Leaf by leaf: a part without statistics may have an empty dict of them on one side and none on the other.
    leaves = map(put, jax.tree.leaves(state), jax.tree.leaves(abstract))
    return jax.tree.unflatten(jax.tree.structure(abstract), leaves)


def _parts_of_run(recipe: Recipe, other: Workdir, abstract: State, console: Console) -> dict[str, Tree]:
    warn = warner(console)
    loaded = load_run(other, warn)
    if not other.finished:
        warn(f"{other.path} is not finished: what is taken over is how it stood at step {loaded.step}.")
    there, here = (type(model).__name__ for model in (loaded.recipe.model, recipe.model))
    if there != here:
        raise UserError(
            f"{recipe.init.run} has a {there} and {recipe.name} a {here}; choose a recipe with that network "
            "(segment has variants for several), or a run with this one."
        )
    available = loaded.parts
    taken = {part: available[part] for part in recipe.init.parts if part in available and part in abstract.params}
    _refuse_unknown(recipe, list(available), list(taken), str(recipe.init.run))
    return taken


def _start_of_file(recipe: Recipe, file: File, source: Source, folder: Workdir, abstract: State) -> Start:
    """The parts of a file. Which subjects they were learnt from, files of other makers do not say."""
    before = folder.facts().get("init_weights", {})
    if before.get("sha256", file.sha256) != file.sha256:
        raise UserError(
            f"{file.path} has changed since {folder.path} was begun; bring it back, or choose a new workdir."
        )
    native = is_native(file)
    fresh = {
        part: {"params": abstract.params[part], "statistics": abstract.carry["statistics"].get(part, {})}
        for part in recipe.init.parts
        if part in abstract.params and (not native or part in parts_in(file))
    }
    _refuse_unknown(recipe, parts_in(file) if native else ["encoder"], list(fresh), str(file.path))
    if not native and "encoder" not in fresh:
        raise UserError(f"init.parts leaves out the encoder, which is what {file.path} has to give; name it as well.")
    seen = _subjects_in(file)
    refuse_leak(seen or NOBODY, source.seen(source.split.test), str(file.path))
    taken = (from_native if native else from_torch)(recipe.model, file, fresh)
    known = UNKNOWN if seen is None else len(seen)
    facts = {"file": str(file.path), "sha256": file.sha256, "subjects_seen": known}
    return Start(
        taken.variables,
        seen or NOBODY,
        {"init": str(file.path), "init_parts": sorted(taken.variables), "init_weights": facts},
        taken.account,
    )


def _subjects_in(file: File) -> Seen | None:
    """The subjects that a file's metadata say were seen; none where they do not."""
    if "seen" not in file.metadata:
        return None
    try:
        return Seen.from_json(json.loads(file.metadata["seen"]))
    except ValueError as error:
        raise UserError(
            f"What {file.path} says of the subjects seen cannot be read, and without it nobody knows whom it may be "
            "tested on; export it again."
        ) from error


def _refuse_unknown(recipe: Recipe, available: list[str], taken: list[str], where: str) -> None:
    unknown = sorted(set(recipe.init.parts) - set(available) - set(KNOWN))
    if unknown or not taken:
        asked = ", ".join(unknown or recipe.init.parts) or "nothing"
        raise UserError(f"init.parts asks for {asked}, but {where} has {', '.join(sorted(available))}; name of these.")
