"""The loop: batches, a dispatch of steps, then every hook. It owns no file, no bar and no decision."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxssl.errors import UserError
from jaxssl.methods.base import Batch
from jaxssl.train.mesh import put_batch
from jaxssl.train.state import State


@dataclass(frozen=True)
class Train:
    """How long, in what pieces and in what arithmetic."""

    batch: int = 64
    """Samples of one optimiser step, over all devices."""
    epochs: float | None = None
    """Passes through the training samples; give this or steps."""
    steps: int | None = None
    """Optimiser steps; give this or epochs."""
    micro_batches: int = 1
    """Pieces that the batch is computed in, one after the other, with the same result."""
    steps_per_dispatch: int = 1
    """Steps taken at one call of the host, which spares small models on an accelerator the wait; slow on a CPU."""
    devices: int | None = None
    """Of this machine's devices that take part; none takes all."""
    fsdp: int = 1
    """Devices that share one copy of weights, moments and teachers; 1 gives each device its own."""
    average: float | None = None
    """Decay of an average of the weights, which is evaluated and handed on in their place; none keeps none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the model's arithmetic; parameters, losses and statistics keep at least float32."""
    seed: int = 0
    log_every: int = 10
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: int = 200
    """Steps between checkpoints; the last step is always saved."""
    keep: int = 2
    """Checkpoints kept."""
    max_skipped: int = 10
    """Steps in a row whose loss or gradient is not finite after which the run stops."""
    probe_every: int | None = None
    """Steps between looks of pretraining at how well its features tell a label apart by then; 0 never looks, none looks
    ten times a run."""
    probe_label: str | None = None
    """That label; none takes `group`, or else another that belongs to the subjects. Test subjects take no part."""

    def check(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise UserError(
                "Give either train.epochs or train.steps, and set the other to None (as in --train.epochs None): "
                f"train.epochs is {self.epochs}, train.steps is {self.steps}."
            )
        if not 0 <= self.seed < 2**32:
            raise UserError(f"train.seed must be at least 0 and below 2^32, not {self.seed}.")
        counts = ("batch", "micro_batches", "steps_per_dispatch", "fsdp", "log_every", "checkpoint_every", "keep")
        for name in (*counts, "max_skipped", *(("devices",) if self.devices is not None else ())):
            if getattr(self, name) < 1:
                raise UserError(f"train.{name} must be at least 1, not {getattr(self, name)}.")
        if (self.steps is not None and self.steps < 1) or (self.epochs is not None and self.epochs <= 0):
            given = self.epochs if self.steps is None else self.steps
            raise UserError(f"A run takes train.steps of at least 1, or train.epochs above 0, not {given}.")
        if self.batch % self.micro_batches:
            raise UserError(
                f"train.batch {self.batch} is not divisible by train.micro_batches {self.micro_batches}; "
                "choose a divisor."
            )
        for name in ("log_every", "checkpoint_every"):
            if getattr(self, name) % self.steps_per_dispatch:
                raise UserError(
                    f"train.{name} {getattr(self, name)} is not a multiple of train.steps_per_dispatch "
                    f"{self.steps_per_dispatch}; choose a multiple, as what lies within a dispatch is not seen."
                )
        if self.probe_every is not None and (self.probe_every < 0 or self.probe_every % self.log_every):
            raise UserError(
                f"train.probe_every {self.probe_every} is not a multiple of train.log_every {self.log_every}; choose "
                "one, as values are written where others are, or 0 for never."
            )
        if self.average is not None and not 0 < self.average < 1:
            raise UserError(f"train.average is a decay in (0, 1), such as 0.999, or none, not {self.average}.")

    @property
    def dtype(self) -> Any:
        return jnp.dtype(self.precision)

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the whole run."""
        return self.steps if self.steps is not None else max(round((self.epochs or 0) * steps_per_epoch), 1)


@dataclass
class Tick:
    """What a hook is told after a dispatch. Reading `values` waits for the device: hooks do so only when they log."""

    step: int
    steps: int
    state: State
    log: dict[str, jax.Array]
    waited: float
    """Seconds spent waiting for data since the loop began."""
    probed: float = 0.0
    """Seconds that hooks have spent since then on what is no training; such a hook adds its own."""

    @cached_property
    def values(self) -> dict[str, float]:
        """The log on the host. A hook may add what it has measured, for the hooks after it to write."""
        return {name: float(value) for name, value in jax.device_get(self.log).items()}


class Hook(Protocol):
    """Called after every dispatch."""

    def __call__(self, tick: Tick) -> None: ...


def run_steps(
    dispatch: Callable[[State, Batch], tuple[State, dict[str, jax.Array]]],
    state: State,
    batches: Iterable[Batch],
    mesh: Mesh,
    start: int,
    steps: int,
    per_dispatch: int,
    hooks: Sequence[Hook],
) -> State:
    """Take steps `start` to `steps`, telling each hook, and return the last state."""
    waited = probed = 0.0
    source: Iterator[Batch] = iter(batches)
    number = start
    while number < steps:
        before = time.perf_counter()
        # A run that stopped within a dispatch comes back to its multiples, at which hooks log and save.
        end = min(number - number % per_dispatch + per_dispatch, steps)
        stacked = drawn(source, end - number, mesh)
        number = end
        waited += time.perf_counter() - before
        state, log = dispatch(state, stacked)
        tick = Tick(end, steps, state, log, waited, probed)
        for hook in hooks:
            hook(tick)
        probed = tick.probed
    return state


def drawn(batches: Iterator[Batch], count: int, mesh: Mesh) -> Batch:
    """The next batches along a new first axis, on their devices; a single one is not copied."""
    taken = list(itertools.islice(batches, count))
    if len(taken) == 1:
        return put_batch(mesh, jax.tree.map(lambda x: x[None], taken[0]), axis=1)
    return put_batch(mesh, jax.tree.map(lambda *parts: np.stack(parts), *taken), axis=1)
