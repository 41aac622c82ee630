"""What is written and shown while a run goes on."""

import io
import json
import re
import resource
import struct
from dataclasses import replace
from types import SimpleNamespace

import jax.numpy as jnp
import pytest
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event

from jaxssl.errors import UserError
from jaxssl.train import monitors
from jaxssl.train.loop import Tick


def tick(step: int, steps: int = 20, waited: float = 0.0, **log: float) -> Tick:
    values = {"loss": 1.0 / step, "skipped": 0.0, "skipped_in_a_row": 0.0, **log}
    return Tick(step, steps, None, {name: jnp.float32(value) for name, value in values.items()}, waited)


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_are_written_at_intervals_and_at_the_end(tmp_path):
    hook = monitors.MetricsFile(tmp_path, start=0, every=4, batch=8, warn=pytest.fail)
    for step in range(1, 11):
        hook(tick(step, steps=10, waited=0.1 * step))
    written = lines(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in written] == [4, 8, 10]
    assert [line["loss"] for line in written] == pytest.approx([1 / 4, 1 / 8, 1 / 10])
    assert all(line["images_per_second"] > 0 for line in lines(tmp_path / "timing.jsonl"))


def test_the_time_of_probes_is_none_of_training(tmp_path, monkeypatch):
    clock = SimpleNamespace(perf_counter=lambda: clock.now, now=100.0)
    monkeypatch.setattr(monitors, "time", clock)
    hook = monitors.MetricsFile(tmp_path, start=0, every=2, batch=8, warn=pytest.fail)
    for step, now, probed in ((2, 104.0, 0.0), (4, 138.0, 30.0), (6, 142.0, 30.0)):
        clock.now = now
        hook(replace(tick(step, steps=6, waited=0.5 * step), probed=probed))
    timed = lines(tmp_path / "timing.jsonl")
    assert [line["images_per_second"] for line in timed] == [4.0, 4.0, 4.0]
    assert [line["data_wait"] for line in timed] == [0.25, 0.25, 0.25]
    assert [line["seconds"] for line in timed] == [4.0, 8.0, 12.0]


@pytest.mark.parametrize("torn", ["", '{"step": 9, "lo', "garbage\n"])
def test_a_continued_run_leaves_no_line_twice_and_no_torn_line(tmp_path, torn):
    first = monitors.MetricsFile(tmp_path, start=0, every=1, batch=8, warn=pytest.fail)
    for step in range(1, 9):
        first(tick(step))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    again = monitors.MetricsFile(tmp_path, start=5, every=1, batch=8, warn=pytest.fail)
    for step in range(6, 11):
        again(tick(step))
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == list(range(1, 11))


def test_lines_that_the_disk_refuses_wait_and_come_whole_when_there_is_room(tmp_path):
    warned: list[str] = []
    kept = monitors.Lines(tmp_path / "metrics.jsonl", warned.append)
    kept.append({"step": 1})
    size = kept.path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, before[1]))  # room for part of a line
        kept.append({"step": 2})
        kept.append({"step": 3})
        assert isinstance(kept.refused(), OSError)
        assert kept.path.stat().st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (warning,) = warned
    assert "metrics.jsonl cannot be written (File too large)" in warning
    kept.append({"step": 4})
    assert [line["step"] for line in lines(kept.path)] == [1, 2, 3, 4]
    assert kept.refused() is None


def events(folder) -> list[Event]:
    """All events of a folder, file by file: records are length, checksum, content, checksum."""
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


def test_event_files_hold_the_scalars_and_a_restart_replaces_what_lies_after_it(tmp_path):
    for start, stop in ((0, 6), (4, 8)):
        hook = monitors.TensorBoard(tmp_path, start, every=1)
        for step in range(start + 1, stop + 1):
            hook(tick(step, steps=stop))
        hook.close()
    shown: dict[int, float] = {}
    for event in events(tmp_path / "tensorboard"):
        if event.session_log.status == event.session_log.START:  # a reader drops what it has from this step on
            shown = {step: value for step, value in shown.items() if step < event.step}
        shown.update((event.step, value.simple_value) for value in event.summary.value if value.tag == "loss")
    assert shown == pytest.approx({step: 1 / step for step in range(1, 9)})


def test_a_log_file_gets_lines_with_speed_time_left_and_data_wait(monkeypatch):
    monkeypatch.setattr(monitors.Bar, "LINE_SECONDS", 0.0)
    said = io.StringIO()
    bar = monitors.Bar(Console(file=said, width=200), "pretrain x", start=0, steps=3, batch=8, every=1)
    for step in (1, 2, 3):
        bar(tick(step, steps=3))
    first, last = said.getvalue().splitlines()[-3], said.getvalue().splitlines()[-1]
    assert first == "pretrain x  1/3  loss 1.0000  data wait 0%", "neither speed nor time are known yet"
    assert last.startswith("pretrain x  3/3  loss 0.3333")
    assert all(word in last for word in ("img/s", "data wait 0%", "0 s left"))


def test_a_terminal_gets_a_bar():
    said = io.StringIO()
    console = Console(file=said, width=120, force_terminal=True, force_interactive=True)
    bar = monitors.Bar(console, "pretrain x", start=0, steps=3, batch=8, every=1)
    for step in (1, 2, 3):
        bar(tick(step, steps=3))
    assert "3/3" in said.getvalue()
    assert "loss 0.3333" in said.getvalue()
    assert "img/s" in said.getvalue()


def test_a_run_that_skips_step_after_step_is_stopped():
    dumped = []
    guard = monitors.StopWhenNotFinite(limit=3, every=2, dump=lambda tick: dumped.append(tick.step) or "kept")
    guard(tick(2, skipped_in_a_row=2))
    guard(tick(3, skipped_in_a_row=3))  # not a step at which values are read
    with pytest.raises(UserError, match=r"the last 3 in a row; `jaxssl replay kept` names"):
        guard(tick(4, skipped=5, skipped_in_a_row=3))
    assert dumped == [4]
    guard(tick(20, skipped=10))
    with pytest.raises(UserError, match="Of 20 steps 11"):
        guard(tick(20, skipped=11))
    assert dumped == [4]  # the last step was taken


def test_checkpoints_fall_on_the_interval_and_on_the_last_step():
    saved = []
    saver = monitors.Saver(lambda tick: saved.append(tick.step), every=3)
    for step in range(1, 9):
        saver(tick(step, steps=8))
    assert saved == [3, 6, 8]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_count_and_time_left_are_seen_on_a_terminal_of_any_width(width):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    bar = monitors.Bar(console, "pretrain mim:small", start=0, steps=400, batch=8, every=1)
    for step in (1, 2):
        bar(tick(step, steps=400))
    bar.close()
    with console.capture() as drawn:
        console.print(bar.progress)
    said = drawn.get()
    assert "2/400" in said
    assert "loss 0.5000" in said
    assert re.search(r"\d+:\d\d|-:--", said)
    assert max(map(len, said.splitlines())) <= width
