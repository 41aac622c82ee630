"""`bench checkpoint`: what saving, logging, the optimiser and averages take of the time of a training."""

import json
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import tyro
from rich.table import Table

from jaxssl import config
from jaxssl.bench.checkpoint import line_seconds, saves
from jaxssl.bench.figure import readable
from jaxssl.bench.sides_figure import draw_parts, small
from jaxssl.bench.step import STEP, call_of, compiled, turns
from jaxssl.errors import UserError
from jaxssl.files import beside, put_text
from jaxssl.recipe import load_recipe
from jaxssl.run.terminal import console_of
from jaxssl.run.workbench import Workbench
from jaxssl.train import monitors
from jaxssl.workdir import provenance

LINES = 10
"""Of the log that are timed."""


def bench_checkpoint(
    recipe: Annotated[str, tyro.conf.Positional] = "mim:small",
    out: Path = Path("checkpoint"),
    batch: int | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
) -> dict[str, Any]:
    """Say for how long a checkpoint stops training, when it is on the disk, and what share of training all that is
    beside forward and backward pass takes.

    That share is the sum of three, each of the time of a step: the step less its forward and backward pass (optimiser,
    teacher and averages), timed by turns; the stall of a save over train.checkpoint_every steps; and a line of the log,
    in its file and in TensorBoard's, over train.log_every steps. What writing in the background takes from the steps
    beside it stands apart, as `lost`: the stall, and how much longer than others the steps took that follow a save.

    Args:
        recipe: Whose state to save.
        out: Folder for checkpoint.jsonl and checkpoint.png, and for the checkpoints meanwhile: it is its disk.
        batch: Samples of a step; none takes the recipe's.
        rounds: Checkpoints, and turns of the step.
        seconds: How long the steps beside a checkpoint last, about.
    """
    if rounds < 1 or not seconds > 0:
        raise UserError(f"--rounds must be at least 1 and --seconds above 0, not {rounds} and {seconds}.")
    chosen = config.override(load_recipe(recipe), {"train.batch": batch} if batch else {})
    config.check(chosen)
    console, bench, train = console_of(None), Workbench(chosen), chosen.train
    out.mkdir(parents=True, exist_ok=True)
    with console.status("compiling"):
        given = bench.abstract, bench.batch
        ready = {name: compiled(bench.programs[name], *given, donate=name == STEP) for name in ("gradient", STEP)}
    with console.status("running"):
        calls = {name: call_of(name, program, bench.batch) for name, program in ready.items()}
        found = turns(calls, bench.state(), rounds, seconds)
    step = median(turn.wall for turn in found[STEP])
    with console.status("saving"), tempfile.TemporaryDirectory(dir=out) as folder:
        given = ready[STEP], bench.state(), bench.batch, Path(folder)
        saved = list(saves(*given, rounds, steps=max(1, round(seconds / step))))
        state, log = ready[STEP](bench.state(), bench.batch)
        metrics = monitors.MetricsFile(Path(folder), 0, 1, train.batch, console.print)
        with closing(monitors.TensorBoard(Path(folder), 0, 1)) as board:
            lines = line_seconds([metrics, board], state, log, 1, LINES)
    middle = {name: median(getattr(one, name) for one in saved) for name in ("stall", "durable", "lost", "bytes")}
    rest = [1 - before.wall / after.wall for before, after in zip(found["gradient"], found[STEP], strict=True)]
    shares = {
        "optimiser and averages": max(0.0, median(rest)),
        "checkpoint": middle["stall"] / (step * train.checkpoint_every),
        "logging": median(lines) / (step * train.log_every),
    }
    result = {
        "bench": "checkpoint",
        "recipe": chosen.name,
        "batch": train.batch,
        "step_seconds": step,
        **middle,
        "line": median(lines),
        "shares": shares,
        "share": sum(shares.values()),
        "checkpoint_every": train.checkpoint_every,
        "log_every": train.log_every,
        "saves": [asdict(one) for one in saved],
        **provenance(),
    }
    put_text(out / "checkpoint.jsonl", json.dumps(result) + "\n")
    console.print(_table(result))
    title = f"{chosen.name}, batch {train.batch}: training beside forward and backward pass"
    with beside(out / "checkpoint.png") as unfinished:
        draw_parts(shares, title).savefig(unfinished, dpi=150)
    console.print(f"{out / 'checkpoint.jsonl'} and checkpoint.png are written.")
    return result


def _table(result: Mapping[str, Any]) -> Table:
    table = Table(title=f"Checkpoints of {result['recipe']}, batch {result['batch']}", show_header=False)

    def spread(name: str) -> str:
        values = [one[name] for one in result["saves"]]
        return f"{small(result[name])} ({small(min(values))} to {small(max(values))})"

    rows = {
        "a step": small(result["step_seconds"]),
        "training stands still": spread("stall"),
        "on the disk after": spread("durable"),
        "a checkpoint": readable(result["bytes"], "B"),
        "lost to it in all": small(result["lost"]) if result["lost"] > 0 else "nothing that noise would show",
        "a line of the log": small(result["line"]),
        "of the time of the steps": f"{result['share']:.2%}",
        **{f"  {name}": f"{share:.2%}" for name, share in result["shares"].items()},
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table
