"""Where the time of a training step goes: the step and its beginnings, each a program of its own, timed by turns."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from jaxssl.bench.products import Product, products
from jaxssl.bench.sides import Timed, Turn, by_turns
from jaxssl.methods.base import Batch, Method, Tree, metadata
from jaxssl.train.cache import cached_in
from jaxssl.train.keys import sample_keys
from jaxssl.train.state import State
from jaxssl.train.step import Schedule, loss_and_gradient, pure_step

STEP, STILL, FED = "step", "still", "fed"
PARTS = {
    "augmentation": (None, "views"),
    "forward": ("views", "loss"),
    "backward": ("loss", "gradient"),
    "optimiser": ("gradient", "update"),
}
"""What a part is the difference of; the rest of a step is the teacher's and the averages', and what is logged."""
REST = "averages and log"
Program = Callable[[State, Batch], Any]
Call = Callable[[State], tuple[State, Any]]
"""One run of a program: the state to go on with, and what to wait for."""


def programs(
    method: Method, optimiser: optax.GradientTransformation, rate: optax.Schedule, schedule: Schedule, mesh: Mesh
) -> dict[str, Program]:
    """The step, and what it begins with: each does what the one before does, and more."""

    def views(state: State, batch: Batch) -> Tree:
        keys, progress = sample_keys(state.seed, "views", state.step, batch["place"]), schedule.progress(state.step)
        # Views are made in another way where their batch lies on several devices.
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return method.views(keys, batch, progress)

    def loss(state: State, batch: Batch) -> jax.Array:
        keys, progress = sample_keys(state.seed, "forward", state.step, batch["place"]), schedule.progress(state.step)
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            seen = method.forward(state.params, state.carry, views(state, batch), keys, progress)
            return method.objective(state.params, state.carry, seen, metadata(batch), progress)[0]

    def gradient(state: State, batch: Batch) -> tuple[jax.Array, Tree]:
        progress = schedule.progress(state.step)
        given = (method, state.params, state.carry, batch, progress, state.seed, schedule.micro_batches, mesh)
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            value, _, _, found = loss_and_gradient(*given)
        return value, found

    def update(state: State, batch: Batch) -> tuple[jax.Array, Tree]:
        value, found = gradient(state, batch)
        return value, optimiser.update(found, state.moments, state.params)

    step = pure_step(method, optimiser, rate, schedule, mesh)
    return {"views": views, "loss": loss, "gradient": gradient, "update": update, STEP: step}


def model_products(programs: Mapping[str, Program], state: State, batch: Batch) -> list[Product]:
    """The dots and convolutions of network and loss, forward and backward; those that make the views are left out."""
    whole, views = (Counter(products(programs[name], state, batch)) for name in ("gradient", "views"))
    return list((whole - views).elements())


def compiled(program: Program, state: State, batch: Batch, donate: bool) -> jax.stages.Compiled:
    """A program for arrays of these shapes and places; one that is trained with writes the new state over the old."""
    return jax.jit(program, donate_argnums=0 if donate else ()).lower(state, batch).compile()


def compile_seconds(program: Program, state: State, batch: Batch, folder: Path) -> tuple[float, float]:
    """How long a step takes to be traced and compiled, for the first time and when a cache on the disk knows it."""
    with cached_in(folder):
        seconds = []
        for _ in range(2):
            jax.clear_caches()
            began = time.perf_counter()
            compiled(program, state, batch, donate=True)
            seconds.append(time.perf_counter() - began)
    return seconds[0], seconds[1]


def call_of(name: str, program: jax.stages.Compiled, batch: Batch) -> Call:
    """A run of a program on that batch; the step gives its state away and goes on with the new one."""

    def call(state: State) -> tuple[State, Any]:
        out = program(state, batch)
        return (out[0], out) if name == STEP else (state, out)

    return call


def turns(calls: Mapping[str, Call], state: State, rounds: int, seconds: float) -> dict[str, list[Turn]]:
    """`by_turns` of these programs in this process, by name; each is given the state that the one before has left.

    Within a turn calls follow one another as in training, nobody waiting for the first before the second is sent.
    """

    def timed(call: Call) -> Timed:
        def turn(count: int) -> Turn:
            nonlocal state
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(count):
                state, out = call(state)
            jax.block_until_ready(out)
            return Turn((time.perf_counter() - wall) / count, (time.process_time() - cpu) / count)

        return turn

    found: dict[str, list[Turn]] = {name: [] for name in calls}
    for name, _, turn in by_turns({name: timed(call) for name, call in calls.items()}, rounds, seconds):
        found[name].append(turn)
    return found


def shares(found: Mapping[str, list[Turn]]) -> dict[str, float]:
    """Of each part in the step, by the median of the rounds; a part that is lost in the noise has none.

    Parts are differences of programs, which the compiler may fuse in other ways than the step that has them all.
    """

    def wall(name: str | None, number: int) -> float:
        return 0.0 if name is None else found[name][number].wall

    rounds = range(len(found[STEP]))

    def share(before: str | None, after: str) -> float:
        return max(0.0, median((wall(after, n) - wall(before, n)) / wall(STEP, n) for n in rounds))

    own = {name: share(*ends) for name, ends in PARTS.items()}
    # Noise can make the beginnings take longer than the step.
    whole = max(1.0, sum(own.values()))
    own = {name: found / whole for name, found in own.items()}
    return {**own, REST: 1.0 - sum(own.values())}
