"""`bench loader`: how fast images come, and whether training waits for them."""

import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from jaxssl import config
from jaxssl.bench.compare import summed_up
from jaxssl.bench.loader import BATCHES, rounds
from jaxssl.bench.sides import ALONE, Against
from jaxssl.errors import UserError
from jaxssl.recipe import Recipe, load_recipe
from jaxssl.run.common import opened
from jaxssl.run.comparing import check_turns, tell
from jaxssl.run.feed import Feed
from jaxssl.run.terminal import console_of
from jaxssl.run.training import pretrain
from jaxssl.workdir import commit


def bench_loader(
    recipe: Annotated[str, tyro.conf.Positional] = "mim:small",
    store: str | None = None,
    out: Path = Path("loading"),
    batch: int = 64,
    rounds_each: Annotated[int, tyro.conf.arg(name="rounds")] = 5,
    seconds: float = 2.0,
    steps: int = 40,
    against: Annotated[Against, tyro.conf.arg(name="")] = ALONE,
) -> Path:
    """Say how many images a second are loaded, and how long training waits for them.

    With `--against torch` a DataLoader of two workers takes the same arrays by turns. Then the recipe trains for some
    steps, and the share of the time in which it waits for data is read from its log, compilation left out.

    Args:
        recipe: Whose data to load and whose steps to take.
        store: Folder of the store; none takes the recipe's.
        out: Folder for loading.jsonl and loading.png.
        batch: Images of a batch.
        rounds_each: Turns of each loader.
        seconds: How long a turn lasts, about.
        steps: Steps of training; 0 leaves it out.
        against: What to compare with.
    """
    console = console_of(None)
    check_turns(against, rounds_each, seconds, out)
    if batch < 1 or steps < 0:
        raise UserError(f"--batch must be at least 1 and --steps at least 0, not {batch} and {steps}.")
    chosen = config.override(load_recipe(recipe), {"train.batch": batch} | ({"data.store": store} if store else {}))
    config.check(chosen)
    feed = Feed(opened(chosen.data, console), chosen.train)
    with console.status("loading"):
        measured = rounds(feed.source.cache, feed.plan, batch, rounds_each, seconds, against)
        sides = summed_up(measured, BATCHES * batch)
    wait = _data_wait(chosen, steps, console) if steps else None
    record = {"bench": "loader", "recipe": recipe, "batch": batch, "steps": steps, "data_wait": wait}
    record |= {"sides": sides, "threads": against.threads, "commit": commit()}
    tell(record, "an image", f"Loading {recipe}, batch {batch}", out, "loading", console)
    if wait is not None:
        console.print(f"Training {recipe} waits for data in {wait:.2%} of the time ({steps} steps).")
    return out


def _data_wait(recipe: Recipe, steps: int, console: Console) -> float:
    """Share of the time, from the first line of the log on: what is before that compiles."""
    every = max(1, steps // 4)
    short = dict.fromkeys(("train.steps", "train.checkpoint_every"), every * 5)
    short |= {"train.epochs": None, "train.log_every": every, "train.probe_every": 0}
    with tempfile.TemporaryDirectory() as folder:
        run = pretrain(config.override(recipe, short), Path(folder) / "run", console=console)
        logged = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
    spans = [(after["seconds"] - before["seconds"], after["data_wait"]) for before, after in pairwise(logged)]
    return sum(span * share for span, share in spans) / sum(span for span, _ in spans)
