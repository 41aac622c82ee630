"""Hooks of the loop: what is written, shown and watched while a run goes on."""

import json
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
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
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

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


class Lines:
    """A file of JSON lines. Those that the disk refuses wait, and come before the next: a run outlives a full disk."""

    def __init__(self, path: Path, warn: Callable[[str], None]):
        self.path, self.warn = path, warn
        self.waiting = ""

    def append(self, values: dict[str, Any]) -> None:
        told = bool(self.waiting)
        self.waiting += json.dumps(values) + "\n"
        if (error := self.refused()) and not told:
            self.warn(
                f"{self.path} cannot be written ({error.strerror}): training goes on and its lines wait, but no step "
                "is saved before they are there. Make room."
            )

    def refused(self) -> OSError | None:
        """Write what waits, and see it on the disk; or why it could not be."""
        if not self.waiting:
            return None
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a") as file:
                file.write(self.waiting)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, size)  # part of a line may have found room
            return error
        self.waiting = ""
        return None


class MetricsFile:
    """Writes metrics.jsonl, which is the same to the bit for the same run, and timing.jsonl, which is not.

    The times are of training: those of probes are left out.
    """

    def __init__(self, folder: Path, start: int, every: int, batch: int, warn: Callable[[str], None]):
        self.metrics, self.timing = (Lines(folder / name, warn) for name in ("metrics.jsonl", "timing.jsonl"))
        cut_lines(self.metrics.path, start)
        cut_lines(self.timing.path, start)
        self.every, self.batch = every, batch
        self.began = time.perf_counter()
        self.mark = (start, 0.0, 0.0)

    def __call__(self, tick: Tick) -> None:
        if tick.step % self.every and tick.step != tick.steps:
            return
        self.metrics.append({"step": tick.step, **{k: _plain(v) for k, v in tick.values.items()}})
        step, then, waited = self.mark
        now = time.perf_counter() - self.began - tick.probed
        self.mark = (tick.step, now, tick.waited)
        self.timing.append(
            {
                "step": tick.step,
                "images_per_second": round((tick.step - step) * self.batch / (now - then), 2),
                "data_wait": round((tick.waited - waited) / (now - then), 4),
                "seconds": round(now, 2),
            }
        )


class TensorBoard:
    """Writes the same scalars as event files; what a full disk refuses is missing there.

    Not by tensorboardX's own writer: a full disk ends its thread, for which the run would then wait for ever.
    """

    def __init__(self, folder: Path, start: int, every: int):
        self.folder, self.suffix, self.every = folder / "tensorboard", f".{start}", every
        self.next = start + 1
        self.writer: EventsWriter | None = None

    def __call__(self, tick: Tick) -> None:
        if tick.step % self.every and tick.step != tick.steps:
            return
        finite = {name: value for name, value in tick.values.items() if math.isfinite(value)}
        values = [Summary.Value(tag=name, simple_value=value) for name, value in finite.items()]
        try:
            self.writer = self.writer or self._opened()
            self.writer.write_event(Event(wall_time=time.time(), step=tick.step, summary=Summary(value=values)))
            self.writer.flush()
        except OSError:
            self.close()  # its last record may be torn: another file goes on
            return
        self.next = tick.step + 1

    def close(self) -> None:
        if self.writer:
            with suppress(OSError):
                self.writer.close()
        self.writer = None

    def _opened(self) -> EventsWriter:
        """A new file, at which a reader drops what it has of the steps that are still to be shown."""
        self.folder.mkdir(parents=True, exist_ok=True)
        writer = EventsWriter(str(self.folder / "events"), self.suffix)
        writer.write_event(Event(step=self.next, session_log=SessionLog(status=SessionLog.START)))
        return writer


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
        loss = f"loss {tick.values['loss']:.4f}"
        if self.console.is_terminal and self.console.width < NARROW:
            return loss
        seconds = self._step_seconds(tick, now)
        speed = f"  {self.batch / seconds:,.0f} img/s" if seconds else ""
        return f"{loss}{speed}  data wait {100 * tick.waited / (now - self.began):.0f}%"

    def _line(self, tick: Tick, now: float) -> None:
        due = now - self.last_line > self.LINE_SECONDS or tick.step == tick.steps
        if self.console.is_terminal or not due or not self.note:
            return
        self.last_line = now
        seconds = self._step_seconds(tick, now)
        left = f"  {seconds * (tick.steps - tick.step):.0f} s left" if seconds else ""
        self.console.print(f"{self.title}  {tick.step}/{tick.steps}  {self.note}{left}")

    def _step_seconds(self, tick: Tick, now: float) -> float | None:
        """What a step takes; not known yet at the first."""
        step, then = self.first or (tick.step, now)
        return (now - then) / (tick.step - step) if tick.step > step else None


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
