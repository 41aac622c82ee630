"""Frozen features of chosen images."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float

from jaxssl.data.cache import Cache
from jaxssl.data.plan import Rows
from jaxssl.evaluate.batches import outputs
from jaxssl.methods.base import Batch


def embed(encode: Callable[[Batch], jax.Array], cache: Cache, rows: Rows, batch: int) -> Float[np.ndarray, "rows dim"]:
    """The embeddings of these rows of the cache, in their order, as float32.

    `encode` is jitted and pure; it is given `batch` images at a time with the intensity statistics of their subjects
    (`jaxssl.methods.parts.standardised` applies them) and gives [batch, dim].
    """
    return np.stack([embedding.astype(np.float32) for embedding in outputs(encode, cache, rows, batch)])
