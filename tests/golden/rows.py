"""What stands in a row of the golden table: what jaxssl computes, and how it compares with other people's value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np


def made(rows, width, phase):
    """The input convention of the golden values."""
    return jnp.asarray(np.sin(0.37 * np.arange(rows * width).reshape(rows, width) + phase), jnp.float32)


@dataclass(frozen=True, eq=False)
class Loss:
    """A scalar function of float arrays with the inputs of the golden values; compiled, with its gradients."""

    function: Callable[..., jax.Array]
    inputs: tuple[jax.Array, ...]

    @cached_property
    def compiled(self):
        """The function (inputs) -> (value, gradients by input)."""
        return jax.jit(jax.value_and_grad(self.function, argnums=tuple(range(len(self.inputs)))))

    @cached_property
    def value_and_gradients(self):
        return self.compiled(*self.inputs)

    def __call__(self):
        return self.value_and_gradients[0]

    def gradient_norm(self, argument):
        return lambda: jnp.linalg.norm(self.value_and_gradients[1][argument])


@dataclass(frozen=True)
class Row:
    verdict: Literal["equal", "equal after", "must differ"]
    ours: Callable[[], Any]
    """A `Loss`, or a function without arguments."""
    because: str = ""
    also: Sequence[Callable[[], Any]] = ()
    """Other ways in which jaxssl computes the same."""
    factor: float = 1.0
    """Ours times this is theirs."""
    part: Any = ...
    """Which entries of their value the verdict is on; where some differ, the others must be equal."""
    theirs: Callable[[], Any] | None = None
    """The other definition, written out: it gives their value."""
    tolerance: float = 2e-6


def equal(ours, because="", **more):
    return Row("equal", ours, because, **more)


def equal_after(factor, because, ours, **more):
    return Row("equal after", ours, because, factor=factor, **more)


def must_differ(because, ours, theirs, **more):
    return Row("must differ", ours, because, theirs=theirs, **more)


def numbers(value):
    """A value of the JSON, or of ours, as an array; of a dict all of its values in order."""
    if isinstance(value, Mapping):
        return np.concatenate([np.ravel(one) for one in value.values()]).astype(float)
    return np.asarray(value, float)
