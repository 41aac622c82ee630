"""Hooks of the loop: what is written, shown and watched while a run goes on."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from tensorboardX import SummaryWriter

from jaxssl.errors import UserError
from jaxssl.files import put_text
from jaxssl.train.loop import Tick


def cut_lines(path: Path, last_step: int) -> None:
    """Drop the lines of a JSON-lines file that lie after a step, and a line that was cut off."""
    if not path.exists():
        return
    kept = [line for line in path.read_text().splitlines(keepends=True) if _step_of(line) <= last_step]
    put_text(path, "".join(kept))


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"] if line.endswith("\n") else float("inf")
    except (ValueError, KeyError):
        return float("inf")


def _plain(value: float) -> float | None:
    """JSON knows no nan."""
    return value if math.isfinite(value) else None


def append_line(path: Path, values: dict[str, Any]) -> None:
    """Append one line and see it on the disk: a checkpoint must never be ahead of the metrics."""
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")
        file.flush()
        os.fsync(file.fileno())


class MetricsFile:
    """Writes metrics.jsonl, which is the same to the bit for the same run, and timing.jsonl, which is not."""

    def __init__(self, folder: Path, start: int, every: int, batch: int):
        self.metrics, self.timing = folder / "metrics.jsonl", folder / "timing.jsonl"
        cut_lines(self.metrics, start)
        cut_lines(self.timing, start)
        self.every, self.batch = every, batch
        self.mark = (start, time.perf_counter(), 0.0)
        self.began = time.perf_counter()

    def __call__(self, tick: Tick) -> None:
        if tick.step % self.every and tick.step != tick.steps:
            return
        append_line(self.metrics, {"step": tick.step, **{k: _plain(v) for k, v in tick.values.items()}})
        step, then, waited = self.mark
        now = time.perf_counter()
        self.mark = (tick.step, now, tick.waited)
        append_line(
            self.timing,
            {
                "step": tick.step,
                "images_per_second": round((tick.step - step) * self.batch / (now - then), 2),
                "data_wait": round((tick.waited - waited) / (now - then), 4),
                "seconds": round(now - self.began, 2),
            },
        )


class TensorBoard:
    """Writes the same scalars as event files."""

    def __init__(self, folder: Path, start: int, every: int):
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1, filename_suffix=f".{start}")
        self.every = every

    def __call__(self, tick: Tick) -> None:
        if tick.step % self.every and tick.step != tick.steps:
            return
        for name, value in tick.values.items():
            if math.isfinite(value):
                self.writer.add_scalar(name, value, tick.step)
        if tick.step == tick.steps:
            self.writer.close()


WITH_BAR, NARROW = 110, 80
"""Characters of a terminal from which on there is room for a bar, and below which the loss alone is noted."""


def _columns(width: int) -> list[ProgressColumn]:
    """Count and time left are always seen: in a narrow terminal the bar gives way, and the title is wrapped."""
    whole = Column(no_wrap=True)
    return [
        TextColumn("{task.description}", table_column=Column()),
        *([BarColumn(bar_width=24)] if width >= WITH_BAR else []),
        MofNCompleteColumn(table_column=whole),
        TextColumn("{task.fields[note]}", table_column=whole),
        TimeRemainingColumn(compact=True, table_column=whole),
    ]


class Bar:
    """A progress bar on a terminal; in a log file, a line now and then."""

    LINE_SECONDS = 10.0

    def __init__(self, console: Console, title: str, start: int, steps: int, batch: int, every: int):
        self.console, self.title, self.batch, self.every = console, title, batch, every
        self.began = self.last_line = time.perf_counter()
        self.first: tuple[int, float] | None = None
        self.note = ""
        self.progress = Progress(*_columns(console.width), console=console, disable=not console.is_terminal)
        self.task = self.progress.add_task(title, total=steps, completed=start, note="compiling")
        self.progress.start()
        if not console.is_terminal and start < steps:
            console.print(f"{title}  compiling, then {steps - start} steps of {batch} images")

    def __call__(self, tick: Tick) -> None:
        now = time.perf_counter()
        # The first step compiles: it says nothing about the speed of the others.
        self.first = self.first or (tick.step, now)
        if tick.step % self.every == 0 or tick.step == tick.steps:
            self.note = self._note(tick, now)
        self.progress.update(self.task, completed=tick.step, note=self.note)
        if tick.step == tick.steps:
            self.close()
        self._line(tick, now)

    def close(self) -> None:
        self.progress.stop()

    def _note(self, tick: Tick, now: float) -> str:
        step, then = self.first or (tick.step, now)
        speed = (tick.step - step) * self.batch / (now - then) if now > then else 0.0
        wait = 100 * tick.waited / (now - self.began)
        loss = f"loss {tick.values['loss']:.4f}"
        narrow = self.console.is_terminal and self.console.width < NARROW
        return loss if narrow else f"{loss}  {speed:,.0f} img/s  data wait {wait:.0f}%"

    def _line(self, tick: Tick, now: float) -> None:
        due = now - self.last_line > self.LINE_SECONDS or tick.step == tick.steps
        if self.console.is_terminal or not due or not self.note:
            return
        self.last_line = now
        step, then = self.first or (tick.step, now)
        left = (now - then) / max(tick.step - step, 1) * (tick.steps - tick.step)
        self.console.print(f"{self.title}  {tick.step}/{tick.steps}  {self.note}  {left:.0f} s left")


class Saver:
    """Saves a checkpoint at intervals and at the end."""

    def __init__(self, save: Callable[[Tick], None], every: int):
        self.save, self.every = save, every

    def __call__(self, tick: Tick) -> None:
        if tick.step % self.every == 0 or tick.step == tick.steps:
            self.save(tick)


class StopWhenNotFinite:
    """Ends a run that skips one step after another, or that has skipped most of its steps when it comes to its end.

    `dump` keeps what the last step was given, if that was a skipped one, and says where; none if it could not.
    """

    def __init__(self, limit: int, every: int, dump: Callable[[Tick], Path | None]):
        self.limit, self.every, self.dump = limit, every, dump

    def __call__(self, tick: Tick) -> None:
        last = tick.step == tick.steps
        if tick.step % self.every and not last:
            return
        in_a_row, in_all = tick.values["skipped_in_a_row"], tick.values["skipped"]
        if in_a_row >= self.limit or (last and 2 * in_all > tick.steps):
            kept = self.dump(tick) if in_a_row else None
            replay = f"; `jaxssl replay {kept}` names the operation, from a folder that holds images" if kept else ""
            raise UserError(
                f"Of {tick.step} steps {in_all:.0f} had a loss or gradient that is not finite, the last {in_a_row:.0f} "
                f"in a row{replay}; lower optim.lr, set optim.clip_norm, or take float32."
            )
