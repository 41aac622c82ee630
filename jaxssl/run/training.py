"""`pretrain` and `finetune`: a recipe and a folder in, a trained and saved run out. The same call continues a run.

In several processes all compute, and the first writes.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxssl.data.source import Part
from jaxssl.memory import seldom_collected
from jaxssl.recipe import Recipe
from jaxssl.run.begun import Run
from jaxssl.train.peers import lost_peers_named
from jaxssl.train.preemption import ended_at_once


def pretrain(
    recipe: Recipe | str,
    workdir: str | Path,
    overrides: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> Path:
    """Pretrain by a recipe (or its name, as "simclr:small") in a folder; the same call continues after an interruption.

    >>> jaxssl.pretrain("mim:tiny", "runs/mim", {"data.store": "stores/hearts", "optim.lr": 2e-3})
    PosixPath('runs/mim')
    """
    with _begun("pretrain", recipe, workdir, overrides, console) as run:
        if not run.nothing_to_do():
            run.finish(run.train())
    return run.workdir.path


def finetune(
    recipe: Recipe | str,
    workdir: str | Path,
    overrides: Mapping[str, Any] | None = None,
    console: Console | None = None,
    on: Part = "test",
    planned: str = "",
) -> Path:
    """Train with labels, from the parts of `init.run` or from scratch, and evaluate on the test subjects.

    While choices are still to be made, `on="validation"` leaves the test subjects alone; `evaluate` asks them later.
    `planned` is what a study calls the arm: each asks the test subjects a question of its own, which a run that has
    begun cannot claim any more.

    >>> few = {"data.store": "stores/hearts", "data.subjects": 2}
    >>> jaxssl.finetune("segment:tiny", "runs/segment", {**few, "init.run": "runs/mim"}, on="validation")
    PosixPath('runs/segment')
    """
    with _begun("finetune", recipe, workdir, overrides, console, on, planned) as run:
        if not run.nothing_to_do():
            trained = run.train()
            run.evaluate(trained)
            run.finish(trained)
    return run.workdir.path


@contextmanager
def _begun(*asked: Any) -> Iterator[Run]:
    """A run whose folder is this process's alone; what has become of it is noted when it ends before its end."""
    with ExitStack() as stack:
        stack.enter_context(seldom_collected())
        stack.enter_context(ended_at_once())
        with lost_peers_named():
            run = Run.begin(stack, *asked)
        try:
            with lost_peers_named():
                yield run
        except BaseException as error:
            run.note_end(error)
            raise
