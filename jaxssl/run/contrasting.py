"""`bench loss`: the contrastive loss alone, and what PyTorch takes for it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console

from jaxssl.bench.compare import unlike
from jaxssl.bench.figure import readable
from jaxssl.bench.loss import reference_gradient
from jaxssl.bench.sides import ALONE, OURS, Against, Process, Side, ours, peer
from jaxssl.errors import UserError
from jaxssl.memory import available
from jaxssl.run.comparing import check_turns, compared, tell
from jaxssl.run.terminal import console_of

BOUND = 1e-5
"""Of the largest: how far two gradients of the same loss may lie apart, in float32 and against float64."""
SLICE = slice(0, 64)
"""Of the rows whose gradient is compared with that in float64."""
PEERS = {"torch": "plain", "torch, as lightly": "lightly"}
HELD = 5
"""Matrices of all similarities that such a peer holds at most, or a little less: logits, their softmax, gradients."""


def bench_loss(
    rows: int = 4096,
    dim: int = 128,
    temperature: float = 0.1,
    out: Path = Path("loss"),
    rounds: int = 5,
    seconds: float = 1.0,
    against: Annotated[Against, tyro.conf.arg(name="")] = ALONE,
) -> dict[str, Any]:
    """Time the contrastive loss of random embeddings with its gradient, and say what memory it takes.

    Its gradient is first compared with float64 on some rows and, with `--against torch`, with those of two losses in
    PyTorch: a plain one, and lightly's, or one that computes as it does where lightly is not installed. Those hold
    matrices of all similarities: one that does not fit into the memory that is free is left out, saying so.

    Args:
        rows: Embeddings, two of each sample: 16384 for 8,192 pairs.
        dim: Numbers of each.
        temperature: Of the loss.
        out: Folder for loss.jsonl and loss.png.
        rounds: Turns of each side.
        seconds: How long a turn lasts, about.
        against: What to compare with.
    """
    if rows < 4 or rows % 2 or dim < 1 or not temperature > 0:
        raise UserError("--rows must be an even number of at least 4, --dim at least 1 and --temperature above 0.")
    check_turns(against, rounds, seconds, out)
    console = console_of(None)
    embeddings = np.random.default_rng(0).normal(size=(rows, dim)).astype(np.float32)
    accuracy: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "rows.npy", embeddings)
        sides = _sides(Path(folder), rows, temperature, against, console)
        record = compared(
            sides,
            lambda processes: _check(processes, Path(folder), embeddings, temperature, accuracy),
            against.threads,
            rounds,
            seconds,
            console,
        )
    record |= {"bench": "loss", "rows": rows, "dim": dim, "temperature": temperature, "against_float64": accuracy}
    title = f"Contrastive loss and gradient of {rows:,} rows of {dim}"
    tell(record, "a loss and its gradient", title, out, "loss", console)
    console.print(f"Gradient against float64, {SLICE.stop} rows: within {accuracy[OURS]:.1e} of the largest.")
    return record


def _sides(folder: Path, rows: int, temperature: float, against: Against, console: Console) -> list[Side]:
    options = {"embeddings": str(folder / "rows.npy"), "temperature": temperature}
    found = [ours("jaxssl.bench.loss", options)]
    if against.against is None:
        return found
    needed, free = HELD * 4 * rows**2, available()
    if needed > free:
        console.print(f"torch is left out: it needs about {readable(needed, 'B')}, and {readable(free, 'B')} are free.")
        return found
    return found + [peer(name, "loss.py", options | {"as": kind}, against.python) for name, kind in PEERS.items()]


def _check(
    processes: Mapping[str, Process],
    folder: Path,
    embeddings: np.ndarray,
    temperature: float,
    accuracy: dict[str, float],
) -> str | None:
    """Losses and gradients of all sides, and ours against float64; `accuracy` takes down how near each is to that."""
    losses = {name: process.check(folder) for name, process in processes.items()}
    gradients = {name: np.load(folder / f"{PEERS.get(name, name)}.npy", allow_pickle=False) for name in processes}
    exact = reference_gradient(embeddings, temperature, SLICE)
    for name, gradient in gradients.items():
        accuracy[name] = float(np.abs(gradient[SLICE] - exact).max() / np.abs(exact).max())
    found = [unlike("the gradient of jaxssl against float64", exact, gradients[OURS][SLICE], BOUND)]
    for name in processes:
        found.append(unlike(f"the loss of {name}", np.array([losses[OURS]]), np.array([losses[name]]), BOUND))
        found.append(unlike(f"the gradient of {name}", gradients[OURS], gradients[name], BOUND))
    return next((each for each in found if each), None)
