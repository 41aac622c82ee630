"""One function of a sample, for every sample of a batch: in a loop or all at once, whichever suits the device."""

import os
from collections.abc import Callable
from typing import Any

import jax
from jax import lax

FEW_CORES = 2
"""So many gain from a loop. It runs on one core; what is done at once is spread over all."""


def for_each(function: Callable[..., Any], *batch: Any) -> Any:
    """`jax.vmap(function)(*batch)`, which on a CPU of few cores computes one sample after the other.

    An image then stays in the processor's cache, and of a `lax.cond` only the side that was drawn is computed, where
    a batch computes both for all samples. Not where several devices share a batch: a loop would gather it.
    """

    def in_a_loop(*batch: Any) -> Any:
        return lax.map(lambda sample: function(*sample), batch)

    at_once = jax.vmap(function)
    if jax.sharding.get_abstract_mesh().size > 1 or len(os.sched_getaffinity(0)) > FEW_CORES:
        return at_once(*batch)
    return lax.platform_dependent(*batch, cpu=in_a_loop, default=at_once)
