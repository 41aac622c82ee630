"""A pretraining, for `chaos.py`."""

import hashlib
import json
import os
import random
import signal
from pathlib import Path

import numpy as np
from chaos import at_call, soon, truncate

import jaxssl
from jaxssl.cli import main
from jaxssl.run import assembly
from jaxssl.train import monitors
from jaxssl.train.checkpoint import Checkpoints, read
from jaxssl.train.fingerprint import named

STEPS, SAVED = 24, 3
FLAGS = f"--train.steps {STEPS} --train.checkpoint-every {SAVED} --train.keep 3 --optim.clip-norm 1.0"


def prepare(folder: Path) -> None:
    jaxssl.data_phantom(folder / "store", jaxssl.CineOptions(subjects=10, phases=2, slices=4, seed=3))


def command(folder: Path, workdir: Path) -> int | None:
    words = ["pretrain", "mim:tiny", "--data.store", str(folder / "store"), "--workdir", str(workdir)]
    return main([*words, "--processes", "1", *FLAGS.split()])


def in_the_first_step(after: float, by: int) -> None:
    at_call(assembly, "make_dispatch", 1, soon(0.05 * after, by))


def while_saving(after: float, by: int, saves: int = STEPS // SAVED) -> None:
    at_call(Checkpoints, "save", 1 + int(after * saves), soon(0.02 * random.random(), by))


def while_metrics_are_written(after: float, by: int) -> None:
    """In the middle of a line, but for SIGTERM, which leaves none there."""

    def die(lines: monitors.Lines, values: dict) -> None:
        if by == signal.SIGKILL:
            with lines.path.open("a") as file:
                file.write(json.dumps(values)[: 1 + int(after * 20)])
        os.kill(os.getpid(), by)

    at_call(monitors.Lines, "append", 1 + int(after * 2 * STEPS), die)


PLACES = {"first step": in_the_first_step, "save": while_saving, "metrics": while_metrics_are_written}


def cut_power(workdir: Path, draw: random.Random) -> None:
    """Truncate what may not have reached the disk: all but what a file is renamed to when it is there."""
    checkpoints, metrics = workdir / "checkpoints", workdir / "metrics.jsonl"
    steps = sorted(int(path.name) for path in checkpoints.glob("*") if path.name.isdigit())
    if len(steps) > 1:  # of a single one that is damaged nothing could go on
        truncate(draw.choice([path for path in (checkpoints / str(steps[-1])).rglob("*") if path.is_file()]), draw)
        # Every line is on the disk before the checkpoint after it is begun.
        truncate(metrics, draw, sum(map(len, metrics.read_bytes().splitlines(keepends=True)[: steps[-1]])))
    for path in [*workdir.glob("timing.jsonl"), *workdir.glob("tensorboard/*"), *workdir.glob(".part-*")]:
        truncate(path, draw)


def finished(workdir: Path) -> dict[str, int]:
    """Nothing: of a run the last steps may be taken again."""
    return {}


def outcome(workdir: Path) -> dict:
    """A digest of all arrays, the metrics, and whether a step is missing or doubled."""
    saved = read(workdir / "checkpoints", warn=lambda sentence: None)
    arrays = [f"{name} {np.asarray(leaf).tobytes()}" for name, leaf in sorted(named(saved.state).items())]
    metrics = (workdir / "metrics.jsonl").read_text()
    return {
        "step": saved.step,
        "state": hashlib.sha256("".join(arrays).encode()).hexdigest(),
        "metrics": hashlib.sha256(metrics.encode()).hexdigest(),
        "whole": [json.loads(line)["step"] for line in metrics.splitlines()] == list(range(1, saved.step + 1)),
        "status": json.loads((workdir / "run.json").read_text())["status"],
    }
