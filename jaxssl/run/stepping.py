"""`bench step`: how fast a recipe trains on this machine, and where the time of a step goes."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

from jaxssl import config
from jaxssl.bench.batch import fixed_batch
from jaxssl.bench.chips import chip_of
from jaxssl.bench.figure import draw_shares, readable
from jaxssl.bench.products import flops, least_seconds
from jaxssl.bench.program import memory
from jaxssl.bench.step import STEP, Turn, compile_seconds, compiled, model_products, programs, shares, turns
from jaxssl.data.record import CINE_CLASSES
from jaxssl.errors import UserError
from jaxssl.methods.base import Method, build
from jaxssl.recipe import Recipe, load_recipe
from jaxssl.run.common import console_of
from jaxssl.train.mesh import check_divisible, make_mesh, put_batch
from jaxssl.train.optim import learning_rate, make_optimiser
from jaxssl.train.state import State, abstract_state, create_state
from jaxssl.train.step import Schedule
from jaxssl.workdir import provenance

STEPS, EPOCH = 100, 10
"""Of a run that is not taken to its end: schedules want to know them."""


def bench_step(
    recipe: Recipe | str,
    out: str | Path = "step",
    overrides: Mapping[str, Any] | None = None,
    rounds: int = 7,
    seconds: float = 0.5,
    profile: bool = False,
) -> dict[str, Any]:
    """Time the training step of a recipe on a fixed batch of noise, and say where its time and its memory go.

    Writes step.jsonl and step.png in `out`, and with `profile` a trace of some steps that xprof opens. The step and its
    beginnings run by turns, so that what else the machine does spoils them alike.

    >>> jaxssl.run.bench_step("simclr:small", "bench", {"train.batch": 64})      # doctest: +SKIP
    """
    if rounds < 1 or not seconds > 0:
        raise UserError(f"--rounds must be at least 1 and --seconds above 0, not {rounds} and {seconds}.")
    recipe = config.override(load_recipe(recipe) if isinstance(recipe, str) else recipe, overrides or {})
    config.check(recipe)
    console, out, bench = console_of(None), Path(out), _Bench(recipe)
    out.mkdir(parents=True, exist_ok=True)
    with console.status("compiling"):
        ready = bench.compiled()
    with console.status("running"):
        found = turns(ready, bench.state(), bench.batch, rounds, seconds)
        if profile:
            _profile(ready[STEP], bench, out / "profile")
    with console.status("compiling again, from a cache"), tempfile.TemporaryDirectory() as cache:
        cold, cached = compile_seconds(bench.programs[STEP], bench.abstract, bench.batch, Path(cache))
    result = {
        **_about(bench),
        **_speed(found[STEP], recipe.train.batch),
        "compile_seconds": round(cold, 2),
        "cached_compile_seconds": round(cached, 2),
        **_memory(ready[STEP], bench),
        **_utilisation(bench, median(turn.wall for turn in found[STEP])),
        "shares": shares(found) if len(found) > 1 else None,
        "turns": [asdict(turn) for turn in found[STEP]],
    }
    (out / "step.jsonl").write_text(json.dumps(result) + "\n")
    console.print(_table(result))
    if result["shares"]:
        title = f"{recipe.name}, batch {recipe.train.batch}, {result['device']}"
        draw_shares(result["shares"], title).savefig(out / "step.png", dpi=150)
    console.print(f"{out / 'step.jsonl'}{' and step.png are' if result['shares'] else ' is'} written.")
    return result


@dataclass(frozen=True)
class _Bench:
    """A recipe's step on the devices of this process, with a batch that is always the same."""

    recipe: Recipe

    @cached_property
    def mesh(self):
        mesh = make_mesh(fsdp=self.recipe.train.fsdp)
        check_divisible(mesh, self.recipe.train.batch, self.recipe.train.micro_batches)
        return mesh

    @cached_property
    def method(self) -> Method:
        return _method(self.recipe)

    @cached_property
    def optimiser(self):
        return make_optimiser(self.recipe.optim, STEPS)

    @cached_property
    def batch(self) -> Any:
        train = self.recipe.train
        return put_batch(self.mesh, fixed_batch(self.recipe.data, 1, train.batch, len(CINE_CLASSES)))

    @cached_property
    def programs(self):
        return self.programs_of(self.method, self.recipe.train.micro_batches)

    def programs_of(self, method: Method, micro_batches: int):
        rate, train = learning_rate(self.recipe.optim, STEPS), self.recipe.train
        schedule = Schedule(STEPS, EPOCH, micro_batches, train.average)
        return programs(method, self.optimiser, rate, schedule, self.mesh)

    @cached_property
    def views(self) -> Any:
        """Of one sample, by whose shapes a network is made."""
        keys = jax.random.split(jax.random.key(0), 1)
        one = fixed_batch(self.recipe.data, 1, 1)
        return jax.jit(lambda batch: self.method.views(keys, batch, Schedule(STEPS, EPOCH).progress(jnp.int32(0))))(one)

    @cached_property
    def abstract(self) -> State:
        averaged = self.recipe.train.average is not None
        return abstract_state(self.method, self.optimiser, self.recipe.train.seed, self.views, self.mesh, averaged)

    def state(self) -> State:
        return create_state(self.method, self.optimiser, self.recipe.train.seed, self.views, self.abstract)

    def compiled(self) -> dict[str, jax.stages.Compiled]:
        """The step and, unless it is made of micro-batches, what it begins with."""
        chosen = self.programs if self.recipe.train.micro_batches == 1 else {STEP: self.programs[STEP]}
        return {
            name: compiled(program, self.abstract, self.batch, donate=name == STEP) for name, program in chosen.items()
        }


def _method(recipe: Recipe) -> Method:
    return build(recipe.method, recipe.model, recipe.spec(classes=len(CINE_CLASSES), labels=len(CINE_CLASSES)))


def _about(bench: _Bench) -> dict[str, Any]:
    train = bench.recipe.train
    return {
        "recipe": bench.recipe.name,
        "batch": train.batch,
        "micro_batches": train.micro_batches,
        "precision": train.precision,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(bench.abstract.params)),
        "chip": jax.devices()[0].device_kind,
        **provenance(),
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


def _memory(step: jax.stages.Compiled, bench: _Bench) -> dict[str, Any]:
    """Bytes of one device: of the state, of a step by XLA's account, and the peak of all that ran here, if the device
    tells."""
    told = memory(step)
    state = sum(
        int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(bench.abstract)
    )
    peak = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    # What is returned lies where the state lay that was given away.
    return {"state_bytes": state, "step_bytes": told.argument + told.temporary, "peak_bytes": peak}


def _utilisation(bench: _Bench, seconds: float) -> dict[str, Any]:
    """The work that network and loss ask for, nothing made again, against what the chips could do in the time."""
    plain = _method(_without_remat(bench.recipe))
    found = model_products(bench.programs_of(plain, micro_batches=1), bench.abstract, bench.batch)
    work, devices = flops(found), bench.mesh.size
    result = {"flops_per_image": work / bench.recipe.train.batch, "flops_per_second": work / seconds}
    chip = chip_of(jax.devices()[0].device_kind)
    if chip is None:
        return {**result, "mfu": None, "roofline_mfu": None}
    least = least_seconds(found, chip.peak, chip.bandwidth) / devices
    return {**result, "mfu": work / seconds / devices / chip.peak, "roofline_mfu": least / seconds}


def _without_remat(recipe: Recipe) -> Recipe:
    """Nothing is made again; a model that never does has no such option."""
    model: Any = recipe.model
    if not hasattr(model, "remat"):
        return recipe
    return replace(recipe, model=replace(model, remat=type(model.remat)(0)))


def _profile(step: jax.stages.Compiled, bench: _Bench, folder: Path) -> None:
    state = bench.state()
    with jax.profiler.trace(str(folder)):
        for _ in range(3):
            state, _ = step(state, bench.batch)
        jax.block_until_ready(state)


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
    for name, value in rows.items():
        table.add_row(name, value)
    return table
