"""`bench augment`: how fast a recipe's views are made on this device, and by a DataLoader of PyTorch."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from jaxssl import config
from jaxssl.bench.batch import fixed_batch
from jaxssl.bench.compare import unlike
from jaxssl.bench.loader import PEER, WORKERS
from jaxssl.bench.sides import ALONE, OURS, Against, Side, has_module, ours, peer
from jaxssl.bench.views import certain, views_of
from jaxssl.data.record import CINE_CLASSES
from jaxssl.recipe import Recipe, load_recipe
from jaxssl.run.comparing import check_turns, compared, tell
from jaxssl.run.terminal import console_of

KORNIA = "kornia"
IMAGES = 512
"""That a DataLoader shuffles, or one batch where that is more."""
BOUND = 3e-4
"""Of the largest value: how far two views may lie apart that are of noise, whose neighbours differ by all there is."""


def bench_augment(
    recipe: Annotated[str, tyro.conf.Positional] = "simclr:small",
    out: Path = Path("augment"),
    batch: int | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
    against: Annotated[Against, tyro.conf.arg(name="")] = ALONE,
) -> dict[str, Any]:
    """Time how a recipe's views are made, of a batch of noise that lies on the device.

    With `--against torch` a DataLoader of two workers makes as many views of as many images, sample by sample, by the
    same operations with the same probabilities; random moves and one view without chance are compared first. Where
    kornia is installed it makes them too, a batch at a time, unless the recipe's masks go with its images.

    Args:
        recipe: Whose views to make.
        out: Folder for augment.jsonl and augment.png.
        batch: Samples; none takes the recipe's.
        rounds: Turns of each side.
        seconds: How long a turn lasts, about.
        against: What to compare with.
    """
    check_turns(against, rounds, seconds, out)
    chosen = config.override(load_recipe(recipe), {"train.batch": batch} if batch else {})
    config.check(chosen)
    console, plan = console_of(None), views_of(chosen.method)
    views = sum(view["count"] for view in plan)
    with tempfile.TemporaryDirectory() as folder:
        sides = _sides(Path(folder), chosen, plan, against)

        def check(processes) -> str | None:
            if PEER not in processes:
                return None
            for name in (OURS, PEER):
                processes[name].check(Path(folder))
            here, there = (np.load(Path(folder) / f"{name}.npy", allow_pickle=False) for name in (OURS, "torch"))
            return unlike("a view", here, there, BOUND)

        work = views * chosen.train.batch
        record = compared(sides, check, against.threads, rounds, seconds, console, work)
    record |= {"bench": "augment", "recipe": chosen.name, "batch": chosen.train.batch, "views": views}
    title = f"Views of {chosen.name}, {views} of each sample, batch {chosen.train.batch}"
    tell(record, "a view", title, out, "augment", console)
    return record


def _sides(folder: Path, recipe: Recipe, plan: list[dict[str, Any]], against: Against) -> list[Side]:
    config.save(recipe, folder / "recipe.json")
    found = [ours("jaxssl.run.sides", {"side": "augment", "recipe": str(folder / "recipe.json")})]
    if against.against is None:
        return found
    batch = jax.tree.map(np.asarray, fixed_batch(recipe.data, 1, max(IMAGES, recipe.train.batch), len(CINE_CLASSES)))
    np.save(folder / "images.npy", batch["image"][..., 0])
    if recipe.data.masks:
        np.save(folder / "masks.npy", batch["mask"])
    options = {
        "images": str(folder / "images.npy"),
        "masks": str(folder / "masks.npy") if recipe.data.masks else None,
        "batch": recipe.train.batch,
        "workers": WORKERS,
        "spacing": float(batch["spacing"][0, 0]),
        "views": plan,
        "certain": asdict(certain(recipe.method.augment)),
    }
    found.append(peer(PEER, "augment.py", options, against.python))
    if not recipe.data.masks and has_module("kornia", against.python):
        found.append(peer(KORNIA, "kornia_views.py", options, against.python))
    return found
