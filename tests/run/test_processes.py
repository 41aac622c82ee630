"""Two processes of four devices each are one process of eight: same data, losses, gradients, state; and so resumed."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import jax
import numpy as np
import pytest
from together import begin_together

from jaxssl.errors import UserError
from jaxssl.run import begun, watching
from jaxssl.run.begun import Run
from jaxssl.train import processes
from jaxssl.train.checkpoint import read
from jaxssl.train.processes import join

PART = Path(__file__).with_name("part.py")
STEPS, HALF = 4, 2
MOVES = (1, 2, 8, 4), (1, 1, 4, 1), (1, 1, 2, 1), (1, 1, 1, 1), (2, 1, 1, 1)
"""From one process to two, from eight devices to fewer, from two processes to one device."""
FLAGS = (
    f"--train.steps {STEPS} --train.checkpoint-every {HALF} --train.log-every 1 --train.batch 16 "
    # Ten times that rate makes each step's rounding thirtyfold by the next.
    "--optim.name sgd --optim.lr 0.001 --optim.momentum 0.9"
)


def run(
    store: Path, workdir: Path, fsdp: int, count: int, stop: int = STEPS + 1, code: int = 0, devices: int = 8
) -> list[str]:
    """Start `count` processes that share so many devices, and see them end at step `stop` or with the run.

    What each has said is returned; `code` is how those end that are not stopped.
    """
    words = ["pretrain", "simclr:tiny", "--data.store", str(store), "--workdir", str(workdir), *FLAGS.split()]
    words += ["--train.fsdp", str(fsdp)]
    begun = begin_together([str(PART), str(stop), f"{workdir}.ids", *words], count, devices // count)
    said = [process.communicate(timeout=300)[1] for process in begun]
    assert [process.returncode for process in begun] == count * [130 if stop <= STEPS else code], said
    return said


def given(workdir: Path) -> list[list[int]]:
    """The samples of each step by their places, from what each process noted."""
    files = [file.read_text().splitlines() for file in sorted(workdir.parent.glob(f"{workdir.name}.[0-9]"))]
    steps = [[pair for line in lines for pair in json.loads(line)] for lines in zip(*files, strict=True)]
    assert all(sorted(place for place, _ in step) == list(range(16)) for step in steps)
    return [[sample for _, sample in sorted(step)] for step in steps]


def lines(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("first", "second", "devices", "fsdp"),
    [(2, 1, 8, 8), *(pytest.param(*one, marks=pytest.mark.slow) for one in MOVES)],
)
def test_processes_change_nothing_and_a_run_moves_between_them(store, tmp_path, first, second, devices, fsdp):
    """From eight devices on, to as many or fewer; the state lies across them, or each has a copy of it."""
    undisturbed, moved = tmp_path / "undisturbed", tmp_path / "moved"
    run(store, undisturbed, fsdp, 1)
    run(store, moved, fsdp, first, stop=HALF)
    assert json.loads((moved / "run.json").read_text())["status"] == "stopped"
    before = given(moved)
    for noted in tmp_path.glob("moved.[0-9]"):
        noted.unlink()
    run(store, moved, fsdp, second, devices=devices)
    assert before + given(moved) == given(undisturbed)
    saved, restored = (json.loads(moved.with_suffix(f".{event}").read_text()) for event in ("saved", "restored"))
    assert saved == restored
    assert any(name.startswith("params/") for name in saved)

    for wanted, found in zip(lines(undisturbed), lines(moved), strict=True):
        for name in ("loss", "gradient_norm"):
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5)
    wanted, found = (read(workdir / "checkpoints", pytest.fail) for workdir in (undisturbed, moved))
    assert wanted.step == found.step == STEPS
    # The trace of the momentum is a sum of the gradients.
    assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(found.state["moments"]))

    def compare(path, wanted, found):
        largest = max(np.abs(np.float64(wanted)).max(), 1e-12)
        assert np.abs(np.float64(found) - np.float64(wanted)).max() <= 1e-4 * largest, jax.tree_util.keystr(path)

    jax.tree_util.tree_map_with_path(compare, wanted.state, found.state)


def test_what_the_first_refuses_ends_the_others_too(store, tmp_path):
    workdir = tmp_path / "taken"
    workdir.mkdir()
    (workdir / "recipe.json").write_text('{"name": "another"}')
    first, second = run(store, workdir, 1, 2, code=2)
    assert "belongs to another recipe" in first
    assert "Process 0 has stopped; see what it says." in second
    assert "Traceback" not in first + second


def begun_in(workdir: Path, store: Path, lr: float = 1e-3) -> None:
    """What a process does from its start to the first step, which it would take as the third of the run."""
    with ExitStack() as stack:
        run = Run.begin(stack, "pretrain", "mim:tiny", workdir, {"data.store": str(store), "optim.lr": lr}, None)
        watching.hooks(run.verb, run.made, workdir, 2, None, run.console, stack)


def test_any_other_process_than_the_first_compares_the_folder_and_writes_nothing(store, tmp_path, monkeypatch):
    begun_in(tmp_path, store)
    (tmp_path / "metrics.jsonl").write_text('{"step": 2}\n{"step": 3}\n')
    before = {path.name: path.stat() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        for room in (begun, watching):
            patch.setattr(room, "is_first", lambda: False)
        begun_in(tmp_path, store)
        with pytest.raises(UserError, match=r"another recipe: optim\.lr was 0\.001 and is now 0\.5"):
            begun_in(tmp_path, store, lr=0.5)
    after = {path.name: path.stat() for path in tmp_path.iterdir()}
    assert {name: (one.st_ino, one.st_mtime_ns) for name, one in after.items()} == {
        name: (one.st_ino, one.st_mtime_ns) for name, one in before.items()
    }
    begun_in(tmp_path, store)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 2}\n'


def test_one_who_is_alone_joins_nobody():
    join()
    join(count=1)
    assert processes.is_first()


def test_under_slurm_processes_find_each_other():
    free = str(50000 + os.getpid() % 10000)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": "2", "JAX_COORDINATOR_PORT": free}
    code = (
        "import jax; from jaxssl.train.processes import join; join(); print(jax.process_index(), jax.process_count())"
    )

    def begin(index: int) -> subprocess.Popen:
        own = {"SLURM_PROCID": str(index), "SLURM_LOCALID": str(index)}
        return subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, **slurm, **own}, stdout=subprocess.PIPE, text=True
        )

    said = [process.communicate(timeout=120)[0].split()[-2:] for process in [begin(0), begin(1)]]
    assert said == [["0", "2"], ["1", "2"]]


@pytest.mark.parametrize(
    ("script", "program", "settings", "expected"),
    [
        ("slurm.sh", "srun", {}, "--kill-on-bad-exit=1 --cpus-per-task=8 jaxssl pretrain mim:small --workdir a folder"),
        (
            "tpu_pod.sh",
            "gcloud",
            {"TPU": "pod", "ZONE": "z"},
            r"--worker all --command jaxssl pretrain mim:small --workdir a\ folder",
        ),
    ],
)
def test_launch_files_hand_their_words_on(tmp_path, script, program, settings, expected):
    shim = tmp_path / program
    shim.write_text('#!/bin/bash\necho "$@"\n')
    shim.chmod(0o755)
    environment = {**os.environ, **settings, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [
        Path(__file__).parents[2] / "experiments/launch" / script,
        "pretrain",
        "mim:small",
        "--workdir",
        "a folder",
    ]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert expected in ran.stdout


def test_processes_that_cannot_be_joined_are_refused_in_a_sentence():
    with pytest.raises(UserError, match=r"could not be joined .* --processes 1 to run alone"):
        join(count=2, index=0)
    with pytest.raises(UserError, match=r"HOST:PORT of process 0, not 'nonsense'"):
        join("nonsense", 2, 0)
    with pytest.raises(UserError, match="leave them out"):
        join(count=1, index=3)
