"""The loop: one batch, one step, then every hook. It owns no file, no bar and no decision."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxssl.errors import UserError
from jaxssl.methods.base import Batch
from jaxssl.train.mesh import put_batch
from jaxssl.train.state import State
from jaxssl.train.step import Step


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

    def check(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise UserError(
                "Give either train.epochs or train.steps, and set the other to None: "
                f"train.epochs is {self.epochs}, train.steps is {self.steps}."
            )
        if self.seed < 0:
            raise UserError(f"train.seed must be at least 0, not {self.seed}.")
        for name in ("batch", "micro_batches", "log_every", "checkpoint_every", "keep", "max_skipped"):
            if getattr(self, name) < 1:
                raise UserError(f"train.{name} must be at least 1, not {getattr(self, name)}.")
        if (self.steps is not None and self.steps < 1) or (self.epochs is not None and self.epochs <= 0):
            raise UserError("train.steps and train.epochs must be above 0.")
        if self.batch % self.micro_batches:
            raise UserError(
                f"train.batch {self.batch} is not divisible by train.micro_batches {self.micro_batches}; "
                "choose a divisor."
            )

    @property
    def dtype(self) -> Any:
        return jnp.dtype(self.precision)

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the whole run."""
        return self.steps if self.steps is not None else max(round((self.epochs or 0) * steps_per_epoch), 1)


@dataclass
class Tick:
    """What a hook is told after a step. Reading `values` waits for the device, so hooks read it only when they log."""

    step: int
    steps: int
    state: State
    log: dict[str, jax.Array]
    waited: float
    """Seconds spent waiting for data since the loop began."""

    @cached_property
    def values(self) -> dict[str, float]:
        return {name: float(value) for name, value in jax.device_get(self.log).items()}


class Hook(Protocol):
    """Called after every step."""

    def __call__(self, tick: Tick) -> None: ...


def run_steps(
    step: Step, state: State, batches: Iterable[Batch], mesh: Mesh, start: int, steps: int, hooks: Sequence[Hook]
) -> State:
    """Take steps `start` to `steps`, telling each hook, and return the last state."""
    waited = 0.0
    source: Iterator[Batch] = iter(batches)
    for number in range(start, steps):
        before = time.perf_counter()
        batch = put_batch(mesh, next(source))
        waited += time.perf_counter() - before
        state, log = step(state, batch)
        tick = Tick(number + 1, steps, state, log, waited)
        for hook in hooks:
            hook(tick)
    return state
