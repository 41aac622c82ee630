"""`plan`: what a recipe will need of devices that nobody has booked yet, and which switch makes it fit."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
from rich.table import Table
from rich.text import Text

from jaxssl import config
from jaxssl.bench.chips import chip_named
from jaxssl.bench.figure import readable
from jaxssl.bench.liveness import SPREAD
from jaxssl.bench.program import Collective
from jaxssl.errors import UserError
from jaxssl.files import put_text
from jaxssl.recipe import Recipe, load_recipe
from jaxssl.run.bench import simulate
from jaxssl.run.planned import SIMULATED, Planned
from jaxssl.run.terminal import console_of


def plan(
    recipe: Recipe | str,
    devices: int = 8,
    chip: str = "h100",
    images: int = 100_000,
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    compiled: bool = True,
) -> dict[str, Any]:
    """Say what training by a recipe on `images` images will need of each of so many devices, and for how long.

    Nothing is run, and neither data nor devices are needed. What is exchanged is read from the step compiled for at
    most 8 simulated devices, or without `compiled` left out. With `out`, a folder, plan.json is written there. A
    process that has not begun with another device computes on the CPU from then on.

    >>> planned = jaxssl.run.plan("simclr:small", 8, "h100", overrides={"train.batch": 4096}, compiled=False)
    >>> planned["verdict"]
    'fits'
    """
    recipe = config.override(load_recipe(recipe) if isinstance(recipe, str) else recipe, overrides or {})
    if chip.lower() == "cpu" and devices > 1:
        raise UserError("--chip cpu is this machine, measured: plan for --devices 1, or name another chip.")
    compiled = compiled and devices > 1
    if devices < 1:
        raise UserError(f"--devices must be at least 1, not {devices}.")
    jax.config.update("jax_platforms", "cpu")
    if compiled:
        simulate(max(SIMULATED))
    planned, console = Planned(recipe, devices, chip_named(chip), images), console_of(None)
    with console.status("counting") as status:
        flops = planned.flops(recipe.train.batch)
        if compiled:
            status.update("compiling for simulated devices")
        exchanged = planned.exchanged() if compiled else {}
        status.update("counting")
        result = {
            "recipe": recipe.name,
            "devices": devices,
            "chip": chip.lower(),
            "images": images,
            "compiled": compiled,
            **{name: getattr(recipe.train, name) for name in ("batch", "micro_batches", "fsdp", "precision")},
            **_numbers(planned, flops, exchanged),
        }
        if planned.verdict != "fits":
            status.update("looking for what makes it fit")
            found = planned.switches()
            result["switches"] = [{"set": words, "bytes": p.memory.total(), "verdict": p.verdict} for words, p in found]
    console.print(_table(planned, result))
    if "switches" in result:
        console.print(_switches(result["switches"]))
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        put_text(Path(out) / "plan.json", json.dumps(result, indent=1) + "\n")
        console.print(f"{Path(out) / 'plan.json'} is written.")
    return result


def _numbers(planned: Planned, flops: int, exchanged: Mapping[str, Collective]) -> dict[str, Any]:
    time, batch = planned.time(flops, exchanged), planned.recipe.train.batch
    return {
        "memory": {**asdict(planned.memory), "total": planned.memory.total()},
        "usable_bytes": planned.chip.memory * planned.chip.usable,
        "image_bytes": planned.image_bytes,
        "verdict": planned.verdict,
        "flops": flops,
        "exchanged": {kind: asdict(one) for kind, one in exchanged.items()},
        "compute_seconds": time.compute,
        "exchange_seconds": time.exchange,
        "step_seconds": time.overlapped,
        "unhidden_step_seconds": time.alone,
        "mfu": flops / planned.devices / time.overlapped / planned.chip.peak,
        "images_per_second": batch / time.overlapped,
        "steps": planned.steps,
        "hours": planned.steps * time.overlapped / 3600,
        "flops_of_run": planned.steps * flops,
    }


def _table(planned: Planned, result: Mapping[str, Any]) -> Table:
    """What a person wants to know before booking."""
    where = f"{result['devices']} x {result['chip']}"
    table = Table(
        title=f"{result['recipe']}, batch {result['batch']:,}, {result['precision']}, on {where}",
        caption="Times and MFU are a roofline: no program is faster, and most are slower.",
        show_header=False,
    )
    table.add_column(no_wrap=True)
    for rows in (_memory(planned, result), _step(planned, result), _run(result)):
        for name, value in rows.items():
            table.add_row(name, value)
        table.add_section()
    return table


def _memory(planned: Planned, result: Mapping[str, Any]) -> dict[str, str | Text]:
    memory, images = planned.memory, readable(result["image_bytes"], "B")
    least, most = (readable(memory.total(1 / share), "B") for share in reversed(SPREAD))
    needed = f": {readable(memory.total(), 'B')} ({least} to {most}) of {readable(result['usable_bytes'], 'B')} usable"
    rows: dict[str, str | Text] = {
        "memory of a device": _verdict(planned.verdict) + needed,
        "  state": f"{readable(memory.state, 'B')}, exact, with train.fsdp {result['fsdp']}",
        "  weights made whole": readable(memory.gathered, "B"),
        "  activations, gradients": f"{readable(memory.temporary, 'B')}, estimated from the arrays of the traced step: "
        f"{SPREAD[0]} to {SPREAD[1]} of XLA's own account where both are known",
        "  batch": readable(memory.batch, "B"),
        "  images": f"{images} stay there" if memory.images else _from_the_host(planned, images),
    }
    return rows if memory.gathered else {name: row for name, row in rows.items() if name != "  weights made whole"}


def _from_the_host(planned: Planned, images: str) -> str:
    if planned.recipe.data.resident:
        return f"from the host, as {images} are too many to stay there"
    return f"from the host; {images} with data.resident"


def _step(planned: Planned, result: Mapping[str, Any]) -> dict[str, str]:
    image, exchanged = result["flops"] / result["batch"], result["exchanged"]
    hidden = f", {_seconds(result['unhidden_step_seconds'])} where no exchange hides" if exchanged else ""
    return {
        "work of a step": f"{readable(result['flops'], 'FLOP')}, {readable(image, 'FLOP')} an image",
        "  arithmetic and traffic": f"{_seconds(result['compute_seconds'])} at least",
        "  exchange": _exchange(planned, result),
        **{f"    {kind}": f"{readable(one['bytes'], 'B')} in {one['count']:,}" for kind, one in exchanged.items()},
        "a step": f"{_seconds(result['step_seconds'])} at least{hidden}",
        "  of the chips' peak": f"{result['mfu']:.1%} at most (MFU, of {readable(planned.chip.peak, 'FLOP/s')} a chip)",
        "  images a second": f"{result['images_per_second']:,.0f} at most",
    }


def _run(result: Mapping[str, Any]) -> dict[str, str]:
    hours, work = result["hours"], result["flops_of_run"] / 1e18
    return {
        "the run": f"{result['steps']:,} steps on {result['images']:,} images, {work:.3g} EFLOP",
        "  hours": f"{hours:.3g} at least, {hours * result['devices']:.3g} of one device",
    }


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _exchange(planned: Planned, result: Mapping[str, Any]) -> str:
    if not result["exchanged"]:
        return "none" if planned.devices == 1 else "left out: not compiled"
    links = f"{readable(planned.chip.link, 'B/s')} links"
    if planned.devices > planned.chip.node:
        links += f", {readable(planned.chip.far, 'B/s')} between nodes of {planned.chip.node}"
    source = f"carried on from {SIMULATED[0]} and {SIMULATED[1]} simulated devices"
    source = source if planned.devices > max(SIMULATED) else "of the compiled program"
    if planned.recipe.train.fsdp > 1:
        source += ", roughly: groups of train.fsdp are not told from all devices"
    return f"{_seconds(result['exchange_seconds'])} over {links} ({source})"


def _verdict(verdict: str) -> Text:
    return Text(verdict, {"fits": "green", "may not fit": "yellow", "does not fit": "red"}[verdict])


def _switches(found: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="What would change that, each planned", title_justify="left")
    table.add_column("set", no_wrap=True)
    table.add_column("memory", justify="right")
    table.add_column("")
    for one in found:
        table.add_row(one["set"], readable(one["bytes"], "B"), _verdict(one["verdict"]))
    return table
