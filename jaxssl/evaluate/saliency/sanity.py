"""Whether a map tells of what was learnt: it should not look the same with weights drawn anew (Adebayo et al. 2018)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy.stats import rankdata

from jaxssl.methods.base import Batch, Method, Progress, Tree

LIMIT = 0.3
"""Rank correlation from which two maps are too much alike."""


@partial(jax.jit, static_argnums=0)
def drawn_anew(method: Method, key: Key[Array, ""], batch: Batch) -> dict[str, Tree]:
    """The variables of a network that has learnt nothing: every layer as its own initialiser draws it."""
    start = Progress(jnp.zeros((), jnp.int32), 1, jnp.zeros(()))
    views = method.views(jax.random.split(key, len(batch["image"])), batch, start)
    return method.parts(*method.init(key, views))


def rank_correlation(one: Float[np.ndarray, "y x"], other: Float[np.ndarray, "y x"]) -> float | None:
    """Spearman's correlation of two maps over their pixels, equals sharing the mean of their ranks.

    None where a map is the same everywhere: it has no ranks.
    """
    first, second = (rankdata(map.ravel()) - (map.size + 1) / 2 for map in (one, other))
    scale = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.sum(first * second) / scale) if scale > 0 else None
