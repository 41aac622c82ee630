"""`bench loader`: how fast images come, and whether training waits for them."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from jaxssl import config
from jaxssl.bench.loader import OURS, PEER, Round, rounds
from jaxssl.errors import UserError
from jaxssl.recipe import Recipe, load_recipe
from jaxssl.run.common import console_of, opened
from jaxssl.run.feed import Feed
from jaxssl.run.training import pretrain


def bench_loader(
    recipe: Annotated[str, tyro.conf.Positional] = "mim:small",
    store: str | None = None,
    out: Path = Path("loading"),
    batch: int = 64,
    rounds_each: Annotated[int, tyro.conf.arg(name="rounds")] = 5,
    seconds: float = 2.0,
    steps: int = 40,
) -> Path:
    """Say how many images a second are loaded, beside PyTorch's loader, and how long training waits for them.

    Both loaders take the same arrays by turns in one run; without torch it is jaxssl's alone. Then the recipe trains
    for some steps, and the share of the time in which it waits for data is read from its log, compilation left out.

    Args:
        recipe: Whose data to load and whose steps to take.
        store: Folder of the store; none takes the recipe's.
        out: Folder for loading.jsonl.
        batch: Images of a batch.
        rounds_each: Turns of each loader.
        seconds: How long a turn lasts, about.
        steps: Steps of training; 0 leaves it out.
    """
    console = console_of(None)
    if min(batch, rounds_each) < 1 or steps < 0 or not seconds > 0:
        raise UserError("--batch and --rounds must be at least 1, --steps at least 0 and --seconds above 0.")
    chosen = config.override(load_recipe(recipe), {"train.batch": batch} | ({"data.store": store} if store else {}))
    config.check(chosen)
    feed = Feed(opened(chosen.data, console), chosen.train)
    with console.status("loading"):
        measured = list(rounds(feed.source.cache, feed.plan, batch, rounds_each, seconds))
    console.print(_table(measured))
    lines = [{**asdict(each), "recipe": recipe, "batch": batch} for each in measured]
    if steps:
        wait = _data_wait(chosen, steps, console)
        console.print(f"Training {recipe} waits for data in {wait:.2%} of the time ({steps} steps).")
        lines.append({"recipe": recipe, "batch": batch, "steps": steps, "data_wait": wait})
    out.mkdir(parents=True, exist_ok=True)
    (out / "loading.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    console.print(f"{out / 'loading.jsonl'} is written.")
    return out


def _table(measured: Sequence[Round]) -> Table:
    """Medians and extremes, and the median of the ratios within a round, which a busy machine spoils least."""
    speeds = {name: [r.images_per_second for r in measured if r.loader == name] for name in (OURS, PEER)}
    table = Table("loader", title="Images a second")
    for heading in ("median", "lowest", "highest", "jaxssl is"):
        table.add_column(heading, justify="right")
    for name, own in speeds.items():
        if own:
            ratio = median(a / b for a, b in zip(speeds[OURS], own, strict=True))
            figures = (median(own), min(own), max(own))
            table.add_row(name, *(f"{x:,.0f}" for x in figures), "" if name == OURS else f"{ratio:.1f} times as fast")
        else:
            table.add_row(name, "not run: no torch", "", "", "")
    return table


def _data_wait(recipe: Recipe, steps: int, console: Console) -> float:
    """Share of the time, from the first line of the log on: what is before that compiles."""
    every = max(1, steps // 4)
    short = dict.fromkeys(("train.steps", "train.checkpoint_every"), every * 5)
    short |= {"train.epochs": None, "train.log_every": every}
    with tempfile.TemporaryDirectory() as folder:
        run = pretrain(config.override(recipe, short), Path(folder) / "run", console=console)
        logged = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
    spans = [(after["seconds"] - before["seconds"], after["data_wait"]) for before, after in pairwise(logged)]
    return sum(span * share for span, share in spans) / sum(span for span, _ in spans)
