"""A run that is killed again and again: `chaos.py STORE FOLDER KILLS SEED`. The same command goes on each time.

Each attempt is a fork of one process that has imported everything and begun nothing, as start-up is most of a tiny run.
Where and how it dies is drawn: at any moment, in the first step, while a checkpoint is being written, in the middle of
a line of metrics; by SIGKILL, by SIGTERM, or by a power cut, after which the files written last are truncated. Prints
the draws, and at last a line of JSON with what became of every run that came to its end.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxssl.cli import main
from jaxssl.run import begun
from jaxssl.train import monitors
from jaxssl.train.checkpoint import Checkpoints, read
from jaxssl.train.fingerprint import named

STEPS, SAVED = 24, 3
FLAGS = f"--train.steps {STEPS} --train.checkpoint-every {SAVED} --train.keep 3 --optim.clip-norm 1.0"
PLACES, FAULTS = ("any", "first step", "save", "metrics"), ("kill", "term", "cut")


def forked(work: Callable[[], int | None], said: Path) -> int:
    """Work in a process of its own, whose words go to a file; how it ended, negative for a signal."""
    sys.stdout.flush()
    if (process := os.fork()) == 0:
        with said.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = 70
        try:
            code = work() or 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def die_at(place: str, after: float, with_signal: int, duration: float) -> None:
    """See that this process is told to end there; `after` (0 to 1) is how late."""

    def die() -> None:
        os.kill(os.getpid(), with_signal)

    if place == "any":
        threading.Timer(after * duration, die).start()
    elif place == "first step":
        steps = begun.run_steps
        begun.run_steps = lambda *args: (threading.Timer(0.05 * after, die).start(), steps(*args))[1]
    elif place == "save":
        save, number = Checkpoints.save, 1 + int(after * STEPS / SAVED)
        calls = iter(range(1, 1000))

        def save_and_die(self, *args):
            save(self, *args)
            if next(calls) == number:
                threading.Timer(0.02 * random.random(), die).start()

        Checkpoints.save = save_and_die
    else:
        append, number, calls = monitors.append_line, 1 + int(after * 2 * STEPS), iter(range(1, 1000))

        def append_and_die(path, values):
            if next(calls) == number:
                if with_signal == signal.SIGKILL:  # of the other a line is not left in its middle
                    with path.open("a") as file:
                        file.write(json.dumps(values)[: 1 + int(after * 20)])
                die()
            append(path, values)

        monitors.append_line = append_and_die


def cut_power(workdir: Path, draw: random.Random) -> None:
    """Truncate what may not have reached the disk: all but what a file is renamed to when it is there."""

    def truncate(path: Path, least: int = 0) -> None:
        size = path.stat().st_size
        os.truncate(path, draw.randint(min(least, size), size))

    checkpoints, metrics = workdir / "checkpoints", workdir / "metrics.jsonl"
    steps = sorted(int(path.name) for path in checkpoints.glob("*") if path.name.isdigit())
    if len(steps) > 1:  # of a single one that is damaged nothing could go on
        truncate(draw.choice([path for path in (checkpoints / str(steps[-1])).rglob("*") if path.is_file()]))
        # Every line is on the disk before the checkpoint after it is begun.
        truncate(metrics, sum(map(len, metrics.read_bytes().splitlines(keepends=True)[: steps[-1]])))
    for path in [*workdir.glob("timing.jsonl"), *workdir.glob("tensorboard/*"), *workdir.glob(".part-*")]:
        truncate(path)


def outcome(workdir: Path) -> dict:
    """What must be equal to the bit: a digest of all arrays, the metrics, and whether a step is missing or doubled."""
    saved = read(workdir / "checkpoints", sys.exit)
    arrays = [f"{name} {np.asarray(leaf).tobytes()}" for name, leaf in sorted(named(saved.state).items())]
    metrics = (workdir / "metrics.jsonl").read_text()
    return {
        "step": saved.step,
        "state": hashlib.sha256("".join(arrays).encode()).hexdigest(),
        "metrics": hashlib.sha256(metrics.encode()).hexdigest(),
        "steps": [json.loads(line)["step"] for line in metrics.splitlines()] == list(range(1, STEPS + 1)),
        "status": json.loads((workdir / "run.json").read_text())["status"],
    }


def look(workdir: Path, said: Path) -> dict:
    """`outcome`, in a process of its own: in this one no device may be asked for before a fork."""
    found = said.with_name("outcome.json")

    def write() -> None:
        found.write_text(json.dumps(outcome(workdir)))

    assert forked(write, said) == 0, said.read_text()
    return json.loads(found.read_text())


def chaos(store: Path, folder: Path, kills: int, seed: int) -> None:
    draw, said = random.Random(seed), folder / "said.txt"
    folder.mkdir(parents=True, exist_ok=True)

    def run(workdir: Path) -> int | None:
        words = ["pretrain", "simclr:tiny", "--data.store", str(store), "--workdir", str(workdir)]
        return main([*words, "--processes", "1", *FLAGS.split()])

    whole, disturbed, ends, done, codes = folder / "whole", folder / "disturbed", [], 0, {}
    assert forked(lambda: run(whole), said) == 0, said.read_text()
    shutil.rmtree(whole)  # it has compiled; the next one says how long an attempt takes
    began = time.monotonic()
    assert forked(lambda: run(whole), said) == 0, said.read_text()
    duration, expected = time.monotonic() - began, look(whole, said)
    while done < kills or disturbed.exists():
        place, fault, after = draw.choice(PLACES), draw.choice(FAULTS), draw.random()
        number = signal.SIGTERM if fault == "term" else signal.SIGKILL
        told = (place, after, number, duration) if done < kills else None

        def attempt(told: tuple | None = told) -> int | None:
            if told:
                die_at(*told)
            return run(disturbed)

        code = forked(attempt, said)
        print(f"{done + 1} {fault} at {place}, {after:.2f}: ended with {code}", flush=True)
        if code == 0:
            ends.append(look(disturbed, said))
            shutil.rmtree(disturbed)
            continue
        assert code in (-signal.SIGKILL, -signal.SIGTERM, 75), said.read_text()
        codes[code], done = codes.get(code, 0) + 1, done + 1
        if fault == "cut" and disturbed.exists():
            cut_power(disturbed, draw)
    print(json.dumps({"kills": done, "codes": codes, "expected": expected, "ends": ends}))


if __name__ == "__main__":
    chaos(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
