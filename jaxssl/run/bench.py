"""`bench scale`: what one device does and holds when training is divided over more of them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import jax
import tyro
from rich.console import Console
from rich.table import Table

from jaxssl import config
from jaxssl.bench.batch import abstract_batch
from jaxssl.bench.figure import draw, readable
from jaxssl.bench.program import COLLECTIVES
from jaxssl.bench.scale import Row, of_loss, of_step
from jaxssl.data.record import CINE_CLASSES
from jaxssl.errors import UserError
from jaxssl.files import beside, put_text
from jaxssl.methods.base import build
from jaxssl.recipe import Recipe, load_recipe
from jaxssl.run.terminal import console_of
from jaxssl.train.mesh import check_divisible, make_mesh
from jaxssl.train.optim import make_optimiser
from jaxssl.train.step import Schedule

DEVICES = (1, 2, 4, 8)
DIM = 128
"""Numbers of an embedding whose loss is looked at alone."""


def bench_scale(
    recipe: Annotated[str, tyro.conf.Positional] = "simclr:small",
    out: Path = Path("scale"),
    batch: int = 128,
    rows: int = 16384,
) -> Path:
    """Say how work, memory and exchanges of one device fall or grow on 1, 2, 4 and 8 simulated devices.

    Nothing is run, and no data are needed: programs are compiled and read. Of time it says nothing, and resident images
    and several steps a dispatch are left out. The process it is called in has simulated devices from then on.

    Args:
        recipe: Whose training step to look at.
        out: Folder for scale.jsonl and scale.png.
        batch: Samples of the step, over all devices.
        rows: Embeddings of the contrastive loss that is looked at alone.
    """
    console = console_of(None)
    chosen = config.override(load_recipe(recipe), {"train.batch": batch})
    config.check(chosen)
    if rows < 2 * max(DEVICES) or rows % max(DEVICES):
        raise UserError(f"--rows must be a multiple of {max(DEVICES)}, and at least {2 * max(DEVICES)}, not {rows}.")
    simulate(max(DEVICES))
    check_divisible(make_mesh(jax.devices()[: max(DEVICES)]), batch, chosen.train.micro_batches)
    out.mkdir(parents=True, exist_ok=True)
    measured = list(_rows(chosen, rows, console))
    console.print(_table(measured))
    lines = "".join(json.dumps({**asdict(row), "recipe": recipe, "batch": batch}) + "\n" for row in measured)
    put_text(out / "scale.jsonl", lines)
    title = f"{recipe}, batch {batch}, on simulated devices (compiled, not run)"
    with beside(out / "scale.png") as unfinished:
        draw(measured, title).savefig(unfinished, dpi=150)
    console.print(f"{out / 'scale.jsonl'} and {out / 'scale.png'} are written.")
    return out


def simulate(devices: int) -> None:
    """Have so many CPU devices; only possible before jax has looked for any."""
    jax.config.update("jax_platforms", "cpu")
    try:
        jax.config.update("jax_num_cpu_devices", devices)
    except RuntimeError:
        if len(jax.devices()) < devices:
            raise UserError(
                f"jax has begun with {len(jax.devices())} device(s), and {devices} must be simulated: "
                "run this in a fresh process."
            ) from None


def _rows(recipe: Recipe, rows: int, console: Console) -> Iterator[Row]:
    """A row for each program and number of devices, with a word on what is being compiled."""
    method = build(recipe.method, recipe.model, recipe.spec(classes=len(CINE_CLASSES)))
    optimiser = make_optimiser(recipe.optim, steps=100)
    options = recipe.train
    schedule = Schedule(100, 10, options.micro_batches, options.average)
    batch = abstract_batch(recipe.data, 1, options.batch)

    def step(name: str, devices: int, fsdp: int) -> Row:
        return of_step(name, method, optimiser, schedule, batch, make_mesh(jax.devices()[:devices], fsdp))

    programs = {
        "step, state repeated": lambda name, n: step(name, n, 1),
        "step, state divided": lambda name, n: step(name, n, n),
        f"loss of {rows:,} rows": lambda name, n: of_loss(name, rows, DIM, make_mesh(jax.devices()[:n])),
    }
    with console.status("compiling") as status:
        for name, compiled in programs.items():
            for devices in DEVICES:
                status.update(f"compiling: {name}, {devices} device(s)")
                yield compiled(name, devices)


def _table(rows: Sequence[Row]) -> Table:
    kinds = [kind for kind in COLLECTIVES if any(kind in row.collectives for row in rows)]
    table = Table(title="One device of n; collectives as their number and bytes")
    table.add_column("program", no_wrap=True)
    for heading in ("devices", "work", "state", "meanwhile", *kinds):
        table.add_column(heading, justify="right")
    for row in rows:
        exchanged = [row.collectives.get(kind) for kind in kinds]
        table.add_row(
            row.program,
            str(row.devices),
            readable(row.flops, "FLOP"),
            readable(row.state, "B"),
            readable(row.temporary, "B"),
            *(f"{one.count}: {readable(one.bytes, 'B')}" if one else "" for one in exchanged),
            end_section=row.devices == max(DEVICES),
        )
    return table
