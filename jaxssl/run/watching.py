"""What watches the steps of a run: measures them, writes them down, saves them, and ends the run."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from jaxssl.errors import UserError
from jaxssl.run.assembly import Assembly
from jaxssl.run.dump import write_dump
from jaxssl.run.probing import online_probes
from jaxssl.run.terminal import warner
from jaxssl.train import alarms, monitors
from jaxssl.train.checkpoint import Checkpoints
from jaxssl.train.loop import Hook, Tick
from jaxssl.train.preemption import ended_after_a_save
from jaxssl.train.processes import is_first, least


@dataclass(frozen=True, eq=False)
class Keeper:
    """Keeps states of a run: by checkpoints, behind which no metrics lag, and one that went wrong by itself."""

    made: Assembly
    checkpoints: Checkpoints
    files: monitors.MetricsFile | None
    """Of the first process alone."""
    folder: Path
    warn: Callable[[str], None]

    def save(self, tick: Tick) -> None:
        refused = self.files.metrics.refused() if self.files else None
        # All save or none; the first alone has lines to write.
        if least(float(refused is None)):
            self.checkpoints.save(tick.step, tick.state, self.made.meta(tick.step))
        else:
            self.checkpoints.put_off(tick.step, refused or OSError("the first process cannot write its metrics"))

    def save_and_wait(self, tick: Tick) -> bool:
        """Whether the step is saved, once that is known."""
        self.save(tick)
        return self.checkpoints.latest_step() == tick.step

    def dump(self, tick: Tick) -> Path | None:
        """Keep what the last step was given; that it could not be kept is said, and stops nothing."""
        made = self.made
        given = (made.recipe, made.spec, made.schedule, tick.state, made.batch(tick.step - 1), self.warn)
        try:
            return write_dump(self.folder, *given)
        except (OSError, UserError) as error:
            self.warn(f"What the step was given could not be kept ({error}).")
            return None


def hooks(
    verb: str, made: Assembly, folder: Path, start: int, checkpoints: Checkpoints, console: Console, stack: ExitStack
) -> list[Hook]:
    """What watches the steps from `start`, in the order in which each is told; the stack closes what they leave open.

    What is measured comes before what writes it, and that before the checkpoint.
    """
    train, warn = made.recipe.train, warner(console)
    probes = []
    if verb == "pretrain":
        probes = online_probes(made.recipe, made.source, made.method, made.mesh, made.schedule.steps, console)
    # Already by being made it drops lines of the file: that is for one process.
    files = monitors.MetricsFile(folder, start, train.log_every, train.batch, warn) if is_first() else None
    keeper = Keeper(made, checkpoints, files, folder, warn)
    return [
        *probes,
        *([files, *_shown(verb, made, folder, start, console, stack)] if files else []),
        alarms.CollapseAlarm(made.recipe.monitors, train.log_every, warn),
        monitors.StopWhenNotFinite(train.max_skipped, train.log_every, keeper.dump),
        monitors.Saver(keeper.save, train.checkpoint_every),
        stack.enter_context(ended_after_a_save(keeper.save_and_wait)),
    ]


def _shown(verb: str, made: Assembly, folder: Path, start: int, console: Console, stack: ExitStack) -> list[Hook]:
    """Event files and the bar."""
    train, title = made.recipe.train, f"{verb} {made.recipe.name}"
    board = monitors.TensorBoard(folder, start, train.log_every)
    stack.callback(board.close)
    bar = monitors.Bar(console, title, start, made.schedule.steps, train.batch, train.log_every)
    stack.callback(bar.close)
    return [board, bar]
