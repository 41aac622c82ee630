"""What happens to one process of a run is known to all: they stop together, and each says why."""

import contextlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from together import begin_together

from jaxssl.train.checkpoint import read
from jaxssl.train.peers import LOST

SIGNALLED = Path(__file__).with_name("signalled.py")
STEP = 3


def happens(
    fault: str, index: int, store: Path, workdir: Path, steps: int = 1000, every: int = 100
) -> list[subprocess.Popen]:
    words = ["pretrain", "mim:tiny", "--data.store", str(store), "--workdir", str(workdir)]
    flags = f"--train.steps {steps} --train.checkpoint-every {every} --train.log-every 1 --train.batch 16"
    return begin_together([str(SIGNALLED), fault, str(index), str(STEP), *words, *flags.split()], count=2, devices=1)


def until_stepping(workdir: Path) -> None:
    """Wait until what happens has happened: the step's line is written by then, but for the first of a moment."""
    for _ in range(2400):
        with contextlib.suppress(FileNotFoundError):
            if (workdir / "metrics.jsonl").read_text().count("\n") >= STEP - 1:
                return
        time.sleep(0.1)
    raise AssertionError("No step was taken.")


def test_when_one_is_told_by_sigterm_all_save_the_same_step_and_end_with_75(store, tmp_path):
    begun = happens("SIGTERM", 1, store, tmp_path / "run")
    said = [process.communicate(timeout=300)[1] for process in begun]
    assert [process.returncode for process in begun] == [75, 75], said
    steps = [re.search(r"Told to stop \(SIGTERM\) at step (\d+), which is saved", words)[1] for words in said]
    assert steps[0] == steps[1]
    assert read(tmp_path / "run" / "checkpoints", pytest.fail).step == int(steps[0]) >= STEP
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "stopped"
    assert "Traceback" not in "".join(said)


@pytest.mark.parametrize(
    ("fault", "index"),
    [
        ("SIGKILL", 1),
        *(
            pytest.param(fault, index, marks=pytest.mark.slow)
            for fault, index in [("SIGKILL", 0), ("SIGSTOP", 1), ("SIGSTOP", 0), ("error", 1), ("error", 0)]
        ),
    ],
)
def test_when_one_dies_or_hangs_the_other_says_so_within_a_minute(store, tmp_path, fault, index):
    begun = happens(fault, index, store, tmp_path / "run")
    try:
        until_stepping(tmp_path / "run")
        other = begun[1 - index]
        said = other.communicate(timeout=60)[1]
    finally:
        for process in begun:
            process.kill()
    sentence = r"(Another process of this run is gone|process \d of this run was ended .* because another one is gone)"
    assert re.search(rf"jaxssl: {sentence}.* the same command continues from what is saved\.$", said, re.MULTILINE)
    assert other.returncode in (75, -6), said
    if other.returncode == 75:
        assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("index", [1, 0])
def test_when_the_disk_of_one_is_full_none_has_saved_and_all_go_on(store, tmp_path, index):
    """The first process writes more than its part of a step, and metrics: these keep a step from being saved."""
    begun = happens("full", index, store, tmp_path / "run", steps=2 * STEP + 2, every=STEP + 1)
    said = [process.communicate(timeout=300)[1] for process in begun]
    assert [process.returncode for process in begun] == [0, 0], said
    (warned,) = re.findall(
        rf"Warning: Step {STEP + 1} could not be saved in .*make room or give permission there", said[0]
    )
    # Of its own fault or, where orbax tells that alone, of having waited for the other in vain.
    assert re.search("process 1: .*(File too large|Barrier timed out)" if index else "File too large", warned)
    assert read(tmp_path / "run" / "checkpoints", pytest.fail).step == 2 * STEP + 2
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if "loss" in line] == list(range(1, 2 * STEP + 3))


@pytest.mark.slow
@pytest.mark.parametrize("index", [1, 0])
def test_when_one_cannot_begin_a_save_it_says_why_and_all_end(store, tmp_path, index):
    begun = happens("unable", index, store, tmp_path / "run", every=STEP + 1)
    said = [process.communicate(timeout=300)[1] for process in begun]
    assert begun[index].returncode in (2, -6), said
    assert "(OSError: the disk is gone)" in said[index]
    assert begun[1 - index].returncode in (75, -6), said
    assert re.search(r"because another one is gone|Another process of this run is gone", said[1 - index])


def test_what_jax_says_of_a_lost_process_is_told_from_other_errors():
    lost = [
        "UNKNOWN: Gloo all-reduce failed: [external/gloo/gloo/transport/tcp/pair.cc:538] Read error: Connection reset",
        "FAILED_PRECONDITION: Buffer Definition Event: Gloo all-gather failed: Connection closed by peer",
        "INTERNAL: Barrier failed because: task is set to ERROR: UNAVAILABLE: Task 1 heartbeat timeout.",
        "DEADLINE_EXCEEDED: Barrier timed out. Id: _async_write_complete.4::0.",
    ]
    others = [
        "The label is unavailable.",
        "stores/gloomy/x.npy has another shape",
        "INTERNAL: an operation of stores/gloomy failed",
        "RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes.",
    ]
    assert [bool(LOST.match(words)) for words in (*lost, *others)] == [True] * 4 + [False] * 4


def test_a_process_that_ends_by_itself_leaves_no_words_behind():
    """The shell that waits for its end is told; it says nothing of those who have finished, or failed in a sentence."""
    code = "from jaxssl.train.peers import speak_when_aborted; speak_when_aborted(3); {}"
    said = {
        end: subprocess.run(
            [sys.executable, "-c", code.format(end)], capture_output=True, text=True, check=False
        ).stderr
        for end in ("pass", "raise SystemExit(2)", "import os; os.abort()")
    }
    assert said["pass"] == said["raise SystemExit(2)"] == ""
    assert said["import os; os.abort()"].startswith("jaxssl: process 3 of this run was ended from outside, or by jax")
