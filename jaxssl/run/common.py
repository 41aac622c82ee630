"""What several verbs need: the hardware, opened data with a bar, and a run read back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import jax
from rich.console import Console

from jaxssl import config
from jaxssl.data.seen import refuse_leak
from jaxssl.data.source import Data, Source, open_source
from jaxssl.errors import UserError
from jaxssl.methods.base import Method, Spec, Tree, build
from jaxssl.recipe import Recipe
from jaxssl.run.classification import label_counts
from jaxssl.run.terminal import bar_on
from jaxssl.train.checkpoint import read
from jaxssl.train.state import evaluated
from jaxssl.workdir import Workdir


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A run read back: its recipe and method, the step it stands at, and the variables of its parts."""

    recipe: Recipe
    method: Method
    step: int
    parts: dict[str, Tree]


def load_run(workdir: Workdir, warn: Callable[[str], None]) -> LoadedRun:
    """The newest good checkpoint of a run, by part."""
    recipe = config.load(workdir.path / "recipe.json")
    saved = read(workdir.checkpoints, warn)
    state, facts = saved.state, workdir.facts()
    spec = recipe.spec(facts["channels"], len(facts["classes"]), len(facts["labels"]))
    method = build(recipe.method, recipe.model, spec)
    params, carry = evaluated(state["params"], state["carry"], state["average"])
    return LoadedRun(recipe, method, saved.step, method.parts(params, carry))


def refuse_unfinished(workdir: Workdir) -> None:
    """What is asked of a run is asked of its last step."""
    if not workdir.finished:
        raise UserError(f"{workdir.path} is not finished; give the command that began it again, which continues it.")


def spec_on(recipe: Recipe, source: Source) -> Spec:
    """What a method must know of the store that it learns from."""
    info = source.store.info
    spec = recipe.spec(info.channels, len(info.classes), len(source.labels.names), source.positions_known)
    return replace(spec, label_counts=label_counts(source) if recipe.data.label else ())


def opened(options: Data, console: Console) -> Source:
    """Open the data; where its cache has to be made first, show how far that is."""
    with bar_on(console) as bar:
        task = bar.add_task("preparing arrays", visible=False)
        return open_source(options, lambda done, total: bar.update(task, completed=done, total=total, visible=True))


def opened_again(loaded: LoadedRun, workdir: Workdir, console: Console) -> Source:
    """The data of a run as they were when it was begun, none of its test subjects seen by it."""
    source = opened(loaded.recipe.data, console)
    if workdir.facts()["data"] != source.facts:
        raise UserError(
            f"The store or the split of {workdir.path} is not the one that it was begun with ({source.store.path}); "
            "bring that back."
        )
    refuse_leak(workdir.seen(), source.seen(source.split.test), str(workdir.path))
    return source


def use_device(device: Literal["auto", "cpu", "gpu", "tpu"]) -> None:
    """Choose the hardware; one that is asked for and absent is refused."""
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    try:
        jax.devices(None if device == "auto" else device)
    except (RuntimeError, AssertionError) as error:  # jax asserts that a plugin is there
        raise UserError(
            f"A {device} was asked for and jax finds none ({str(error).partition(chr(10))[0] or 'no plugin'}); "
            "see `jaxssl doctor`, or use --device cpu."
        ) from error
