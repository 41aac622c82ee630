"""A teacher: parts of the student as they were on average over the last steps, running statistics included.

It lies in `carry["teacher"]` as {"params": by part, "statistics": by part} and is never differentiated.
"""

from collections.abc import Collection

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxssl.methods.base import Progress, Tree


def copy(params: Tree, statistics: Tree, parts: Collection[str]) -> Tree:
    """A teacher that is equal to the student in these parts."""
    return {
        "params": {part: params[part] for part in parts},
        "statistics": {part: statistics[part] for part in parts if part in statistics},
    }


def follow(
    teacher: Tree, params: Tree, statistics: Tree, momentum: float | Float[Array, ""], progress: Progress
) -> Tree:
    """teacher <- momentum teacher + (1 - momentum) student, for parameters and running statistics alike.

    Parameters begin as the student's, but statistics as nobody's, 0 and 1: theirs is min(momentum, (1 + t) / (10 + t)),
    so that these are soon forgotten.
    """
    soon = jnp.minimum(momentum, (1 + progress.step) / (10 + progress.step))
    student = copy(params, statistics, teacher["params"])
    return {
        "params": _nearer(teacher["params"], student["params"], momentum),
        "statistics": _nearer(teacher["statistics"], student["statistics"], soon),
    }


def _nearer(teacher: Tree, student: Tree, momentum: float | Float[Array, ""]) -> Tree:
    # As a difference: momentum is close to 1, and what is added must not be lost to rounding.
    return jax.tree.map(lambda old, new: old + (1 - jnp.asarray(momentum, old.dtype)) * (new - old), teacher, student)


def cosine(first: float, last: float, progress: Progress) -> Float[Array, ""]:
    """From `first` at the first step to `last` at the end of the run, along half a cosine."""
    done = progress.step / progress.steps
    return last + (first - last) * (1 + jnp.cos(jnp.pi * done)) / 2
