"""`bench step`: how fast a recipe trains on this machine, and where the time of a step goes."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import jax
from rich.table import Table

from jaxssl import config
from jaxssl.bench.chips import chip_of
from jaxssl.bench.figure import draw_shares, readable
from jaxssl.bench.products import flops, least_seconds
from jaxssl.bench.program import memory
from jaxssl.bench.sides import ALONE, Against
from jaxssl.bench.step import FED, STEP, STILL, Call, Turn, call_of, compile_seconds, shares, turns
from jaxssl.bench.trace import exchanging, traced
from jaxssl.errors import UserError
from jaxssl.files import beside, put_text
from jaxssl.recipe import Recipe, load_recipe
from jaxssl.run.common import opened
from jaxssl.run.comparing import check_turns
from jaxssl.run.feed import Feed
from jaxssl.run.step_against import step_against
from jaxssl.run.terminal import console_of, warner
from jaxssl.run.workbench import Workbench
from jaxssl.workdir import provenance


def bench_step(
    recipe: Recipe | str,
    out: str | Path = "step",
    overrides: Mapping[str, Any] | None = None,
    rounds: int = 7,
    seconds: float = 0.5,
    profile: bool = False,
    fed: bool = False,
    against: Against = ALONE,
) -> dict[str, Any]:
    """Time the training step of a recipe on a fixed batch, and say where its time and its memory go.

    The batch is noise; with `fed` it is the first of the recipe's store, and steps that are fed as in training are
    timed beside. Writes step.jsonl and step.png in `out`, and with `profile` a trace of some steps that xprof opens.
    The step and its beginnings run by turns, so that what else the machine does spoils them alike. With `against` the
    step alone runs, by turns with PyTorch's, as told in against.jsonl and against.png.
    """
    recipe = config.override(load_recipe(recipe) if isinstance(recipe, str) else recipe, overrides or {})
    config.check(recipe)
    console, out = console_of(None), Path(out)
    check_turns(against, rounds, seconds, out, compiles=True)
    if against.against:
        if fed or profile:
            raise UserError("--against compares steps on views that are there: leave --fed and --profile out.")
        return step_against(recipe, against, rounds, seconds, out, console)

    warn = warner(console)
    feed = Feed(opened(recipe.data, console), recipe.train) if fed else None
    bench = Workbench(recipe, feed)
    out.mkdir(parents=True, exist_ok=True)
    with console.status("compiling"):
        ready = bench.compiled()
        calls = {name: call_of(name, program, bench.batch) for name, program in ready.items()}
    with console.status("running"):
        dispatched = bench.dispatched(feed, warn) if feed else {}
        found = turns({**calls, **dispatched}, bench.state(), rounds, seconds)
        exchange = _exchange(calls[STEP], bench, out / "profile" if profile else None)
    with console.status("compiling again, from a cache"), tempfile.TemporaryDirectory() as cache:
        cold, cached = compile_seconds(bench.programs[STEP], bench.abstract, bench.batch, Path(cache))
    result = {
        **_about(bench),
        "asked": {"rounds": rounds, "seconds": seconds, "profile": profile},
        **_speed(found[STEP], recipe.train.batch),
        **(_feeding(found, recipe) if feed else {}),
        "compile_seconds": round(cold, 2),
        "cached_compile_seconds": round(cached, 2),
        **_memory(ready[STEP], bench),
        **_utilisation(bench, median(turn.wall for turn in found[STEP])),
        "shares": shares(found) if len(calls) > 1 else None,
        "exchange_share": exchange,
        "turns": [asdict(turn) for turn in found[STEP]],
    }
    put_text(out / "step.jsonl", json.dumps(result) + "\n")
    console.print(_table(result))
    if result["shares"]:
        title = f"{recipe.name}, batch {recipe.train.batch}, {result['device']}"
        with beside(out / "step.png") as unfinished:
            draw_shares(result["shares"], title).savefig(unfinished, dpi=150)
    console.print(f"{out / 'step.jsonl'}{' and step.png are' if result['shares'] else ' is'} written.")
    return result


def _about(bench: Workbench) -> dict[str, Any]:
    train = bench.recipe.train
    return {
        "recipe": bench.recipe.name,
        "batch": train.batch,
        "micro_batches": train.micro_batches,
        "precision": train.precision,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(bench.abstract.params)),
        "chip": jax.devices()[0].device_kind,
        **{**provenance(), "devices": bench.mesh.size},
    }


def _speed(found: list[Turn], batch: int) -> dict[str, Any]:
    """By the median turn; the spread is that between the fastest and the slowest."""
    wall = sorted(turn.wall for turn in found)
    return {
        "images_per_second": batch / median(wall),
        "step_seconds": median(wall),
        "fastest_seconds": wall[0],
        "slowest_seconds": wall[-1],
        "cpu_seconds": median(turn.cpu for turn in found),
    }


def _feeding(found: Mapping[str, list[Turn]], recipe: Recipe) -> dict[str, Any]:
    """Training as it is fed, against the step on a batch that is there already: what is lost is the wait for data."""
    ratios = [still.wall / fed.wall for still, fed in zip(found[STILL], found[FED], strict=True)]
    fed = median(turn.wall for turn in found[FED]) / recipe.train.steps_per_dispatch
    return {
        "fed_images_per_second": recipe.train.batch / fed,
        "fed_of_fixed": median(ratios),
        "turns_fed": [asdict(turn) for turn in found[FED]],
    }


def _exchange(call: Call, bench: Workbench, folder: Path | None) -> float | None:
    """The share of the devices' time that goes into collectives; none where there is nobody to exchange with."""
    if folder is None and bench.mesh.size == 1:
        return None
    with tempfile.TemporaryDirectory() as elsewhere:
        _, seconds = traced(call, bench.state(), folder or Path(elsewhere))
        if bench.mesh.size == 1:
            return None
        return exchanging(folder or Path(elsewhere)) / (seconds * len(bench.mesh.local_devices))


def _memory(step: jax.stages.Compiled, bench: Workbench) -> dict[str, Any]:
    """Bytes of one device: of the state, of a step by XLA's account, and the peak of all that ran here, if the device
    tells."""
    told = memory(step)
    peak = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    # What is returned lies where the state lay that was given away.
    return {"state_bytes": bench.state_bytes, "step_bytes": told.argument + told.temporary, "peak_bytes": peak}


def _utilisation(bench: Workbench, seconds: float) -> dict[str, Any]:
    """The work that network and loss ask for against what the chips could do in the time."""
    found = bench.work()
    work, devices = flops(found), bench.mesh.size
    result = {"flops_per_image": work / bench.recipe.train.batch, "flops_per_second": work / seconds}
    chip = chip_of(jax.devices()[0].device_kind)
    if chip is None:
        return {**result, "mfu": None, "roofline_mfu": None}
    peak = chip.peak_of(bench.recipe.train.precision)
    least = least_seconds(found, peak, chip.bandwidth) / devices
    return {**result, "mfu": work / seconds / devices / chip.peak, "roofline_mfu": least / seconds}


def _table(result: Mapping[str, Any]) -> Table:
    """What a person wants to know of it."""
    table = Table(
        title=f"One step of {result['recipe']}, batch {result['batch']}, {result['precision']}", show_header=False
    )
    spread = f"{result['fastest_seconds']:.4g} to {result['slowest_seconds']:.4g}"
    rows = {
        "images a second": f"{result['images_per_second']:,.1f}",
        "seconds a step": f"{result['step_seconds']:.4g} ({spread}); {result['cpu_seconds']:.4g} of all cores",
        "to compile": f"{result['compile_seconds']:.1f} s, from a cache {result['cached_compile_seconds']:.1f} s",
        "state of a device": readable(result["state_bytes"], "B"),
        "memory of a step": readable(result["step_bytes"], "B")
        + (f", peak of this process {readable(result['peak_bytes'], 'B')}" if result["peak_bytes"] else ""),
        "work": f"{readable(result['flops_per_image'], 'FLOP')} an image, "
        + f"{readable(result['flops_per_second'], 'FLOP')} a second",
        "of what the chip can": "unknown for this device"
        if result["mfu"] is None
        else f"{result['mfu']:.1%} (MFU), {result['roofline_mfu']:.1%} of its roofline",
        **{f"  {name}": f"{share:.1%}" for name, share in (result["shares"] or {}).items()},
    }
    if "fed_of_fixed" in result:
        rows["fed by the store"] = (
            f"{result['fed_images_per_second']:,.1f} images a second, "
            f"{result['fed_of_fixed']:.1%} of what batches give that are there"
        )
    if result["exchange_share"] is not None:
        rows["in collectives"] = f"{result['exchange_share']:.1%} of the devices' time"
    for name, value in rows.items():
        table.add_row(name, value)
    return table
