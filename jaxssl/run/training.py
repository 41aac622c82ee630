"""`pretrain` and `finetune`: a recipe and a folder in, a trained and saved run out. The same call continues a run."""

import dataclasses
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from rich.console import Console

from jaxssl import config
from jaxssl.data.loader import batches, steps_per_epoch
from jaxssl.data.source import Source
from jaxssl.methods.base import Batch, Method, build
from jaxssl.methods.parts import adopt
from jaxssl.recipe import Recipe, command, load_recipe
from jaxssl.run.common import console_of, load_run, opened, spec_of
from jaxssl.run.evaluation import evaluate_segmentation
from jaxssl.train import monitors
from jaxssl.train.checkpoint import Checkpoints
from jaxssl.train.keys import named_key, sample_keys
from jaxssl.train.loop import Hook, Tick, run_steps
from jaxssl.train.mesh import check_divisible, make_mesh
from jaxssl.train.optim import learning_rate, make_optimiser
from jaxssl.train.state import State, abstract_state, create_state
from jaxssl.train.step import Schedule, make_step
from jaxssl.workdir import Workdir, existing, now, provenance, refuse_leak

SHOWN = 8
"""Samples of a batch that a report shows."""


def pretrain(
    recipe: Recipe | str,
    workdir: str | Path,
    overrides: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> Path:
    """Pretrain by a recipe (or its name, as "simclr:small") in a folder; the same call continues after an interruption.

    >>> jaxssl.pretrain("simclr:small", "runs/a", {"optim.lr": 1e-3})      # doctest: +SKIP
    """
    run = _Run.begin("pretrain", recipe, workdir, overrides, console)
    if not run.finished:
        run.finish(run.train())
    return run.workdir.path


def finetune(
    recipe: Recipe | str,
    workdir: str | Path,
    overrides: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> Path:
    """Train with labels, from the parts of `init.run` or from scratch, and evaluate on the test subjects.

    >>> jaxssl.finetune("segment:small", "runs/b", {"init.run": "runs/a", "data.subjects": 4})      # doctest: +SKIP
    """
    run = _Run.begin("finetune", recipe, workdir, overrides, console)
    if not run.finished:
        state = run.train()
        run.evaluate(state)
        run.finish(state)
    return run.workdir.path


@dataclass(frozen=True, eq=False)
class _Run:
    """A recipe that has been checked, with its data opened and its method built."""

    verb: str
    recipe: Recipe
    workdir: Workdir
    console: Console
    source: Source
    mesh: Mesh
    method: Method
    schedule: Schedule

    @classmethod
    def begin(
        cls,
        verb: str,
        recipe: Recipe | str,
        workdir: str | Path,
        overrides: Mapping[str, Any] | None,
        console: Console | None,
    ) -> "_Run":
        """Refuse what can be refused before anything is compiled or written, then claim the folder."""
        if isinstance(recipe, str):
            recipe = load_recipe(recipe)
        recipe = config.override(recipe, overrides or {})
        config.check(recipe)
        mesh = make_mesh()
        check_divisible(mesh, recipe.train.batch, recipe.train.micro_batches)
        console = console_of(console)
        source = opened(recipe.data, console)
        per_epoch = steps_per_epoch(source.training_plan(), recipe.train.batch)
        schedule = Schedule(
            seed=recipe.train.seed,
            steps=recipe.train.total_steps(per_epoch),
            steps_per_epoch=per_epoch,
            micro_batches=recipe.train.micro_batches,
        )
        method = build(recipe.method, recipe.model, spec_of(recipe, source.store.info.channels))
        folder = Workdir(Path(workdir))
        if recipe.init.run:
            seen = existing(recipe.init.run).description().get("subjects_seen", [])
            refuse_leak(seen, source.split.test, recipe.init.run)
        folder.claim(recipe)
        return cls(verb, recipe, folder, console, source, mesh, method, schedule)

    @property
    def finished(self) -> bool:
        """Whether an earlier call came to the end."""
        if (self.workdir.path / "run.json").exists() and self.workdir.description().get("status") == "finished":
            self.console.print(f"{self.workdir.path} is finished already; nothing to do.")
            return True
        return False

    def train(self) -> State:
        """Take the steps that are left, saving as they go."""
        options = self.recipe.train
        rate = learning_rate(self.recipe.optim, self.schedule.steps)
        optimiser = make_optimiser(self.recipe.optim, self.schedule.steps)
        with Checkpoints(self.workdir.checkpoints, options.keep, self.warn) as checkpoints:
            state, start = self._state(optimiser, checkpoints)
            self._describe(state)
            step = make_step(self.method, optimiser, rate, self.schedule, self.mesh)
            with ExitStack() as stack:
                hooks = self._hooks(start, checkpoints, stack)
                return run_steps(step, state, self._batches(start), self.mesh, start, self.schedule.steps, hooks)

    def evaluate(self, state: State) -> None:
        """Segment the test subjects and write evaluation.json."""
        variables = self.method.parts(state.params, state.carry)
        result, pictures = evaluate_segmentation(self.recipe, self.source, variables)
        self._add_pictures(pictures)
        config.write_json(result, self.workdir.path / "evaluation.json")
        self.console.print(f"Dice {result['mean_dice']:.3f} on {result['n']} test subjects.")

    def finish(self, state: State) -> None:
        """Draw the pictures that a report shows, and say that the run has come to its end."""
        batch = jax.tree.map(lambda x: x[: max(SHOWN, self.recipe.model.norm.group)], next(iter(self._batches(0))))
        self._add_pictures(jax.tree.map(lambda x: np.asarray(x[:SHOWN]), self._pictures(state, batch)))
        began = self.workdir.description()["started_seconds"]
        self.workdir.describe(status="finished", finished=now(), seconds=round(time.time() - began, 1))

    def warn(self, sentence: str) -> None:
        self.console.print(f"Warning: {sentence}", style="yellow")

    def _batches(self, start: int):
        data, options = self.recipe.data, self.recipe.train
        return batches(
            self.source.cache,
            self.source.training_plan(),
            batch=options.batch,
            seed=options.seed,
            start=start,
            masks=data.masks,
        )

    def _state(self, optimiser: optax.GradientTransformation, checkpoints: Checkpoints) -> tuple[State, int]:
        """The newest saved state, or a fresh one that may take over parts of another run."""
        key = named_key(self.schedule.seed, "init")
        views = jax.jit(self._views)(jax.tree.map(lambda x: x[:1], next(iter(self._batches(0)))))
        abstract = abstract_state(self.method, optimiser, key, views, self.mesh)
        if restored := checkpoints.restore(abstract):
            self.console.print(f"Continuing {self.workdir.path} from step {restored.step}.")
            return restored.state, restored.step
        state = create_state(self.method, optimiser, key, views, abstract)
        if self.recipe.init.run:
            state = self._adopted(state)
        return jax.device_put(state, jax.tree.map(lambda a: a.sharding, abstract)), 0

    def _adopted(self, state: State) -> State:
        init = self.recipe.init
        available = load_run(existing(init.run or ""), self.warn).parts
        taken = {part: available[part] for part in init.parts if part in available and part in state.params}
        params, carry = adopt(state.params, state.carry, taken)
        self.console.print(f"Starting from {' and '.join(taken) or 'nothing'} of {init.run}.")
        return dataclasses.replace(state, params=params, carry=carry)

    def _hooks(self, start: int, checkpoints: Checkpoints, stack: ExitStack) -> list[Hook]:
        options, folder = self.recipe.train, self.workdir.path
        title = f"{self.verb} {self.recipe.name}"

        def save(tick: Tick) -> None:
            checkpoints.save(tick.step, tick.state, {"batches": tick.step})

        bar = monitors.Bar(self.console, title, start, self.schedule.steps, options.batch, options.log_every)
        stack.callback(bar.close)
        # The metrics come before the checkpoint, so that no checkpoint is ahead of them.
        return [
            monitors.MetricsFile(folder, start, options.log_every, options.batch),
            monitors.TensorBoard(folder, start, options.log_every),
            bar,
            monitors.StopWhenNotFinite(options.max_skipped, options.log_every),
            monitors.Saver(save, options.checkpoint_every),
        ]

    def _describe(self, state: State) -> None:
        known = self.workdir.description() if (self.workdir.path / "run.json").exists() else {}
        before = existing(self.recipe.init.run).description().get("subjects_seen", []) if self.recipe.init.run else []
        self.workdir.describe(
            verb=self.verb,
            name=self.recipe.name,
            method=type(self.recipe.method).__module__.rpartition(".")[2],
            status="running",
            command=command(self.verb, self.recipe, self.workdir.path),
            init=self.recipe.init.run,
            channels=self.source.store.info.channels,
            parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
            data={"store": self.recipe.data.store, "fingerprint": self.source.store.fingerprint},
            subjects_seen=sorted({*before, *self.source.training_subjects}),
            started=known.get("started", now()),
            started_seconds=known.get("started_seconds", time.time()),
            **provenance(),
        )

    def _views(self, batch: Batch):
        progress = self.schedule.progress(jnp.zeros((), jnp.int32))
        return self.method.views(
            sample_keys(self.schedule.seed, "views", progress.step, batch["place"]), batch, progress
        )

    def _pictures(self, state: State, batch: Batch) -> dict[str, jax.Array]:
        @jax.jit
        def draw(state: State, batch: Batch) -> dict[str, jax.Array]:
            progress = self.schedule.progress(state.step)
            views = self._views(batch)
            keys = sample_keys(self.schedule.seed, "forward", progress.step, batch["place"])
            return self.method.pictures(views, self.method.forward(state.params, state.carry, views, keys, progress))

        return draw(state, batch)

    def _add_pictures(self, pictures: Mapping[str, np.ndarray]) -> None:
        path = self.workdir.path / "pictures.npz"
        known = dict(np.load(path, allow_pickle=False)) if path.exists() else {}
        self.workdir.write_arrays("pictures.npz", {**known, **pictures})
