"""A compiled function over any rows of a cache, in batches of one size."""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from jaxssl.data.cache import Cache
from jaxssl.data.loader import Gather
from jaxssl.data.plan import Rows, Samples
from jaxssl.methods.base import Batch


def outputs(function: Callable[[Batch], jax.Array], cache: Cache, rows: Rows, batch: int) -> Iterator[np.ndarray]:
    """What `function` gives for each of `rows`, in their order.

    `function` takes a batch as training knows it, without masks, and gives an array with the samples first. The last
    batch is filled up with its last row, so that every batch has one shape and `function` is compiled once.
    """
    gather = Gather(cache)
    for start in range(0, len(rows), batch):
        here = rows[start : start + batch]
        filled = np.pad(here, (0, batch - len(here)), mode="edge")
        yield from np.asarray(function(gather(Samples(filled), np.arange(batch))))[: len(here)]
