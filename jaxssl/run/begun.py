"""A run that has begun: checked, traced, and its folder claimed; then trained, judged and ended."""

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console

from jaxssl import config
from jaxssl.data.source import Part
from jaxssl.errors import Preempted, UserError
from jaxssl.methods.base import Tree
from jaxssl.recipe import CARRYING_OUT, Recipe, command, load_recipe
from jaxssl.run.assembly import Assembly, assembled
from jaxssl.run.handover import Start, show, start_of, take_over, write_account
from jaxssl.run.judging import FILES, judge, refuse_without_evaluation
from jaxssl.run.openings import beginnings
from jaxssl.run.pictures import draw
from jaxssl.run.terminal import console_of, warner
from jaxssl.run.watching import hooks
from jaxssl.train.checkpoint import Checkpoints
from jaxssl.train.mesh import gathered
from jaxssl.train.peers import LostPeer
from jaxssl.train.processes import first_goes_ahead, is_first
from jaxssl.train.state import State, evaluated
from jaxssl.workdir import Workdir, now, provenance


class Trained(NamedTuple):
    """What comes of training, whole and on the host: what is evaluated and handed on, and the steps left out."""

    params: Tree
    carry: Tree
    skipped: int


@dataclass(frozen=True, eq=False)
class Run:
    """A recipe that has been put together and checked, and has a folder of its own."""

    verb: str
    made: Assembly
    workdir: Workdir
    console: Console
    start: Start
    on: Part
    """Whom a fine-tuning is evaluated on."""
    planned: str
    began: float
    """When its data were there, by the clock that counts seconds."""

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
        console = console_of(console) if is_first() else Console(quiet=True)
        recipe = config.override(load_recipe(recipe) if isinstance(recipe, str) else recipe, overrides or {})
        made, folder = assembled(recipe, console), Workdir(Path(workdir))
        if verb == "finetune":
            refuse_without_evaluation(recipe, made.method, made.source, on)
        began, abstract = time.monotonic(), made.abstract()
        start = start_of(recipe, made.source, folder, abstract, console)
        made.trace(abstract, start.parts)
        run = cls(verb, made, folder, console, start, on, planned, began)
        run._claim(stack)
        if verb == "pretrain" and recipe.data.masks and not made.source.store.info.masks_by:
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
        made = self.made
        kept = Checkpoints(self.workdir.checkpoints, made.recipe.train.keep, self.warn)
        # What listens to signals does so until the last save is done.
        with ExitStack() as stack, kept as checkpoints:
            state, start = self._state(checkpoints)
            self._describe(state)
            told = hooks(self.verb, made, self.workdir.path, start, checkpoints, self.console, stack)
            state = made.take_steps(state, start, told, self.warn)
        params, carry = gathered(made.mesh, evaluated(state.params, state.carry, state.average))
        return Trained(params, carry, int(state.skipped))

    def evaluate(self, trained: Trained) -> None:
        """Judge by the subjects of the part that was asked for."""
        with first_goes_ahead():
            if is_first():
                made = self.made
                variables = made.method.parts(trained.params, trained.carry)
                judge(made.recipe, made.source, made.method, variables, self.on, self.workdir, self.console)

    def finish(self, trained: Trained) -> None:
        """Draw the pictures that a report shows, and say that the run has come to its end."""
        with first_goes_ahead():
            if not is_first():
                return
            made, whole = self.made, (trained.params, trained.carry)
            seed, group = made.recipe.train.seed, made.recipe.model.group
            self.workdir.add_pictures(draw(made.method, made.schedule, seed, made.feed, group, *whole))
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

    def _claim(self, stack: ExitStack) -> None:
        """Take the folder, for the first process: the others see that it is no other run's."""
        recipe, facts = self.made.recipe, self.made.source.facts
        with first_goes_ahead():
            if is_first():
                stack.enter_context(self.workdir.alone(self.warn))
                self.workdir.claim(recipe, facts)
            else:
                self.workdir.refuse_another(recipe, facts)

    @property
    def _seconds(self) -> float:
        """Spent on the run by this call and those before it, but for calls that were killed: these could not tell."""
        return round(self.workdir.facts().get("seconds", 0.0) + time.monotonic() - self.began, 1)

    @property
    def _command(self) -> str:
        """What makes the run again, and no more than that: test subjects that were left alone stay so."""
        words = command(self.verb, self.made.recipe, self.workdir.path)
        return f"{words} --on {self.on}" if words and self.on != "test" else words

    def _state(self, checkpoints: Checkpoints) -> tuple[State, int]:
        """The newest saved state, or a fresh one that may take over parts of another run."""
        abstract = self.made.abstract()
        if restored := checkpoints.restore(abstract):
            if restored.meta != self.made.meta(restored.step):
                raise UserError(
                    f"Checkpoint {restored.step} of {self.workdir.path} is of another run; use a new workdir."
                )
            self.console.print(f"Continuing {self.workdir.path} from step {restored.step}.")
            return restored.state, restored.step
        state = self.made.fresh(abstract)
        if self.start.parts:
            state = take_over(self.start.parts, state, abstract)
            show(self.start, self.made.recipe, self.console)
        return state, 0

    def _describe(self, state: State) -> None:
        if not is_first():
            return
        recipe, source, known = self.made.recipe, self.made.source, self.workdir.facts()
        seen = self.start.seen | source.masks_learnt_from | source.seen(source.training_subjects)
        write_account(self.start, self.workdir)
        self.workdir.describe(
            verb=self.verb,
            name=recipe.name,
            method=type(recipe.method).__module__.rpartition(".")[2],
            status="running",
            command=self._command,
            **self.start.facts,
            **({} if self.workdir.has_step else beginnings(recipe, source, self.start.facts)),
            planned=known.get("planned", self.planned),
            channels=source.store.info.channels,
            classes=list(source.store.info.classes),
            labels=list(source.labels.names),
            parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
            data=source.facts,
            carried_out=list(CARRYING_OUT),
            subjects_seen=len(self.workdir.add_seen(seen)),
            started=known.get("started", now()),
            **{**provenance(), "devices": self.made.mesh.size},
        )
