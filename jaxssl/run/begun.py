"""A run that has begun: checked, traced, its data opened and its folder claimed; then trained, judged and ended."""

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax
from jax.sharding import Mesh
from rich.console import Console

from jaxssl import config
from jaxssl.data.seen import refuse_leak
from jaxssl.data.source import Part, Source
from jaxssl.errors import Preempted, UserError
from jaxssl.methods.base import Method, Spec, Tree, build
from jaxssl.methods.parts import adopt
from jaxssl.recipe import CARRYING_OUT, Recipe, command, lasting, load_recipe
from jaxssl.run.common import opened, spec_on
from jaxssl.run.dump import write_dump
from jaxssl.run.feed import Feed
from jaxssl.run.handover import Start, show, start_of, take_over, write_account
from jaxssl.run.judging import FILES, judge, refuse_without_evaluation
from jaxssl.run.openings import beginnings
from jaxssl.run.pictures import draw, first_views
from jaxssl.run.probing import online_probes
from jaxssl.run.terminal import console_of, warner
from jaxssl.train import alarms, monitors, resident
from jaxssl.train.checkpoint import Checkpoints
from jaxssl.train.loop import Hook, Tick, run_steps
from jaxssl.train.mesh import check_divisible, first_devices, gathered, make_mesh, put_batch
from jaxssl.train.optim import learning_rate, make_optimiser
from jaxssl.train.peers import LostPeer
from jaxssl.train.preemption import ended_after_a_save
from jaxssl.train.processes import first_goes_ahead, is_first, least
from jaxssl.train.state import State, abstract_state, create_state, evaluated
from jaxssl.train.step import Schedule, Step, make_dispatch, pure_step
from jaxssl.workdir import Workdir, now, provenance


class Trained(NamedTuple):
    """What comes of training, whole and on the host: what is evaluated and handed on, and the steps left out."""

    params: Tree
    carry: Tree
    skipped: int


@dataclass(frozen=True, eq=False)
class Run:
    """A recipe that has been checked and traced, with its data opened and its folder claimed."""

    verb: str
    recipe: Recipe
    workdir: Workdir
    console: Console
    source: Source
    feed: Feed
    mesh: Mesh
    spec: Spec
    method: Method
    schedule: Schedule
    optimiser: optax.GradientTransformation
    views: Tree
    """Shapes of those of one sample, by which a network is made."""
    step: Step
    start: Start
    on: Part
    """Whom a fine-tuning is evaluated on."""
    planned: str
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(
        cls,
        stack: ExitStack,
        verb: str,
        recipe: Recipe | str,
        workdir: str | Path,
        overrides: Mapping[str, Any] | None,
        console: Console | None,
        on: Part = "test",
        planned: str = "",
    ) -> "Run":
        """Refuse whatever can be refused; only then claim the folder, which the stack gives back."""
        recipe = config.override(load_recipe(recipe) if isinstance(recipe, str) else recipe, overrides or {})
        config.check(recipe)
        console = console_of(console) if is_first() else Console(quiet=True)
        mesh = make_mesh(first_devices(recipe.train.devices), recipe.train.fsdp)
        check_divisible(mesh, recipe.train.batch, recipe.train.micro_batches)
        with first_goes_ahead():
            source = opened(recipe.data, console)
        refuse_leak(
            source.masks_learnt_from,
            source.seen(source.split.test),
            f"the network that made the masks of {recipe.data.store}",
        )
        feed, train = Feed(source, recipe.train), recipe.train
        steps = train.total_steps(feed.steps_per_epoch)
        schedule = Schedule(steps, feed.steps_per_epoch, train.micro_batches, train.average)
        spec = spec_on(recipe, source)
        method = build(recipe.method, recipe.model, spec)
        if method.averaged and train.average is not None:
            raise UserError(f"{recipe.name} hands on an average already, its teacher; leave train.average none.")
        if verb == "finetune":
            refuse_without_evaluation(recipe, method, source, on)
        optimiser = make_optimiser(recipe.optim, steps)
        views = jax.eval_shape(partial(first_views, method, schedule, train.seed), feed.first(1))
        # Inlined: traced once, when it is checked, and the program is the same.
        step = jax.jit(pure_step(method, optimiser, learning_rate(recipe.optim, steps), schedule, mesh), inline=True)
        folder = Workdir(Path(workdir))
        made = (mesh, spec, method, schedule, optimiser, views, step)
        run = cls(verb, recipe, folder, console, source, feed, *made, Start(), on, planned)
        abstract = run._abstract()
        run = replace(run, start=start_of(recipe, source, folder, abstract, console))
        run._trace(abstract)
        with first_goes_ahead():
            if is_first():
                stack.enter_context(folder.alone(run.warn))
                folder.claim(recipe, source.facts)
            else:
                folder.refuse_another(recipe, source.facts)
        if verb == "pretrain" and recipe.data.masks and not source.store.info.masks_by:
            run.warn(
                f"The masks of {recipe.data.store} are true ones, which no new patient comes with; "
                "`jaxssl segment` writes a store with those that a network predicts."
            )
        return run

    def nothing_to_do(self) -> bool:
        """Whether an earlier call came to the end; then say so."""
        if not self.workdir.finished:
            return False
        path, later = self.workdir.path, ""
        if self.verb == "finetune" and not (path / FILES[self.on]).exists():
            later = f": jaxssl evaluate {path} --on {self.on} asks its {self.on} subjects"
        self.console.print(f"{path} is finished already; nothing to do{later}.")
        return True

    def train(self) -> Trained:
        """Take the steps that are left, saving as they go."""
        kept = Checkpoints(self.workdir.checkpoints, self.recipe.train.keep, self.warn)
        # What listens to signals does so until the last save is done.
        with ExitStack() as stack, kept as checkpoints:
            state, start = self._state(checkpoints)
            self._describe(state)
            state = self._steps(state, start, self._hooks(start, checkpoints, stack))
        params, carry = gathered(self.mesh, evaluated(state.params, state.carry, state.average))
        return Trained(params, carry, int(state.skipped))

    def evaluate(self, trained: Trained) -> None:
        """Judge by the subjects of the part that was asked for."""
        with first_goes_ahead():
            if is_first():
                variables = self.method.parts(trained.params, trained.carry)
                judge(self.recipe, self.source, self.method, variables, self.on, self.workdir, self.console)

    def finish(self, trained: Trained) -> None:
        """Draw the pictures that a report shows, and say that the run has come to its end."""
        with first_goes_ahead():
            if not is_first():
                return
            group = self.recipe.model.group
            seed, whole = self.recipe.train.seed, (trained.params, trained.carry)
            self.workdir.add_pictures(draw(self.method, self.schedule, seed, self.feed, group, *whole))
            self.workdir.describe(status="finished", finished=now(), seconds=self._seconds, skipped=trained.skipped)

    def note_end(self, error: BaseException) -> None:
        """Say in run.json that nobody is at work any more: stopped from outside, or failed by itself.

        Where it cannot be said that is passed over: what ended the run is what its user, or a scheduler, must see.
        """
        with suppress(OSError, UserError):
            if is_first() and self.workdir.facts().get("status") == "running":
                stopped = isinstance(error, KeyboardInterrupt | Preempted | LostPeer)
                self.workdir.describe(status="stopped" if stopped else "failed", seconds=self._seconds)

    def warn(self, sentence: str) -> None:
        warner(self.console)(sentence)

    def _steps(self, state: State, start: int, hooks: list[Hook]) -> State:
        images = self.feed.resident(self.mesh, self.warn)
        dispatch = make_dispatch(self.step, resident.complete(self.mesh))
        return run_steps(
            lambda state, batch: dispatch(state, batch, images),
            state,
            self.feed.batches(start, self.mesh, pixels=images is None),
            self.mesh,
            start,
            self.schedule.steps,
            self.recipe.train.steps_per_dispatch,
            hooks,
        )

    def _abstract(self) -> State:
        """Shapes, types and shardings of the state; nothing is compiled for them."""
        given = (self.recipe.train.seed, self.views, self.mesh, self.schedule.average is not None)
        return abstract_state(self.method, self.optimiser, *given)

    @property
    def _seconds(self) -> float:
        """Spent on the run by this call and those before it, but for calls that were killed: these could not tell."""
        return round(self.workdir.facts().get("seconds", 0.0) + time.monotonic() - self.began, 1)

    @property
    def _command(self) -> str:
        """What makes the run again, and no more than that: test subjects that were left alone stay so."""
        words = command(self.verb, self.recipe, self.workdir.path)
        return f"{words} --on {self.on}" if words and self.on != "test" else words

    def _trace(self, abstract: State) -> None:
        """Trace a step without compiling it: shapes that do not fit are refused here."""
        adopt(abstract.params, abstract.carry, self.start.parts)
        jax.eval_shape(self.step, abstract, self.feed.abstract(self.mesh))

    def _state(self, checkpoints: Checkpoints) -> tuple[State, int]:
        """The newest saved state, or a fresh one that may take over parts of another run."""
        abstract = self._abstract()
        if restored := checkpoints.restore(abstract):
            if restored.meta != self._meta(restored.step):
                raise UserError(
                    f"Checkpoint {restored.step} of {self.workdir.path} is of another run; use a new workdir."
                )
            self.console.print(f"Continuing {self.workdir.path} from step {restored.step}.")
            return restored.state, restored.step
        state = create_state(self.method, self.optimiser, self.recipe.train.seed, self.views, abstract)
        if self.start.parts:
            state = take_over(self.start.parts, state, abstract)
            show(self.start, self.recipe, self.console)
        return state, 0

    def _meta(self, step: int) -> dict[str, Any]:
        """What a checkpoint holds beside the state: the place in the data, and what the run is."""
        return {"batches": step, "recipe": lasting(config.to_dict(self.recipe)), "data": self.source.store.fingerprint}

    def _hooks(self, start: int, checkpoints: Checkpoints, stack: ExitStack) -> list[Hook]:
        """What watches the steps, in the order in which each is told; the stack closes what they leave open."""

        def save(tick: Tick) -> None:
            refused = files.metrics.refused() if files else None
            # All save or none; the first alone has lines to write.
            if least(float(refused is None)):
                checkpoints.save(tick.step, tick.state, self._meta(tick.step))
            else:
                checkpoints.put_off(tick.step, refused or OSError("the first process cannot write its metrics"))

        def save_and_wait(tick: Tick) -> bool:
            save(tick)
            return checkpoints.latest_step() == tick.step

        def dump(tick: Tick) -> Path | None:
            batch = put_batch(self.mesh, next(self.feed.batches(tick.step - 1, self.mesh, pixels=True)))
            given = (self.recipe, self.spec, self.schedule, tick.state, batch, self.warn)
            try:
                return write_dump(self.workdir.path, *given)
            except (OSError, UserError) as error:
                self.warn(f"What the step was given could not be kept ({error}).")
                return None

        options, folder = self.recipe.train, self.workdir.path
        steps = self.schedule.steps
        probes = (
            online_probes(self.recipe, self.source, self.method, self.mesh, steps, self.console)
            if self.verb == "pretrain"
            else []
        )
        # Already by being made it drops lines of the file: that is for one process.
        files = monitors.MetricsFile(folder, start, options.log_every, options.batch, self.warn) if is_first() else None
        # What is measured comes before what writes it, and that before the checkpoint, which no metrics lag behind.
        return [
            *probes,
            *([files, *self._shown(start, stack)] if files else []),
            alarms.CollapseAlarm(self.recipe.monitors, options.log_every, self.warn),
            monitors.StopWhenNotFinite(options.max_skipped, options.log_every, dump),
            monitors.Saver(save, options.checkpoint_every),
            stack.enter_context(ended_after_a_save(save_and_wait)),
        ]

    def _shown(self, start: int, stack: ExitStack) -> list[Hook]:
        """Event files and the bar."""
        options, title = self.recipe.train, f"{self.verb} {self.recipe.name}"
        board = monitors.TensorBoard(self.workdir.path, start, options.log_every)
        stack.callback(board.close)
        bar = monitors.Bar(self.console, title, start, self.schedule.steps, options.batch, options.log_every)
        stack.callback(bar.close)
        return [board, bar]

    def _describe(self, state: State) -> None:
        if not is_first():
            return
        known = self.workdir.facts()
        seen = self.start.seen | self.source.masks_learnt_from | self.source.seen(self.source.training_subjects)
        write_account(self.start, self.workdir)
        self.workdir.describe(
            verb=self.verb,
            name=self.recipe.name,
            method=type(self.recipe.method).__module__.rpartition(".")[2],
            status="running",
            command=self._command,
            **self.start.facts,
            **({} if self.workdir.has_step else beginnings(self.recipe, self.source, self.start.facts)),
            planned=known.get("planned", self.planned),
            channels=self.source.store.info.channels,
            classes=list(self.source.store.info.classes),
            labels=list(self.source.labels.names),
            parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
            data=self.source.facts,
            carried_out=list(CARRYING_OUT),
            subjects_seen=len(self.workdir.add_seen(seen)),
            started=known.get("started", now()),
            **{**provenance(), "devices": self.mesh.size},
        )
