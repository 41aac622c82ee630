"""A compiled function over any rows of a cache, in batches of one size."""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from jaxssl.data.cache import Cache
from jaxssl.data.loader import Gather
from jaxssl.data.plan import Rows, Samples
from jaxssl.methods.base import Batch


def outputs(function: Callable[[Batch], jax.Array], cache: Cache, rows: Rows, batch: int) -> Iterator[np.ndarray]:
    """What `function` gives for each of `rows`, in their order; it sees no masks."""
    return outputs_of(function, Gather(cache), Samples(rows), batch)


def outputs_of(
    function: Callable[[Batch], jax.Array], gather: Gather, samples: Samples, batch: int
) -> Iterator[np.ndarray]:
    """What `function` gives for each sample, in their order.

    `function` takes a batch as training knows it and gives an array with the samples first. The last batch is filled up
    with the last sample, so that every batch has one shape and `function` is compiled once.
    """
    count = len(samples.rows)
    for start in range(0, count, batch):
        mine = np.minimum(np.arange(start, start + batch), count - 1)
        yield from np.asarray(function(gather(samples, mine)))[: count - start]
