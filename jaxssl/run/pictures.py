"""What a report shows of a method at work: a few samples of the first batch, as they were seen and made."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.methods.base import Batch, Method, Tree
from jaxssl.run.feed import Feed
from jaxssl.train.keys import sample_keys
from jaxssl.train.step import Schedule

SHOWN = 8
"""Samples that are shown, if the batch has as many."""


def first_views(method: Method, schedule: Schedule, seed: int, batch: Batch) -> Tree:
    """The views of a batch at the first step."""
    progress = schedule.progress(jnp.zeros((), jnp.int32))
    return method.views(sample_keys(seed, "views", progress.step, batch["place"]), batch, progress)


def draw(
    method: Method, schedule: Schedule, seed: int, feed: Feed, group: int, params: Tree, carry: Tree
) -> dict[str, np.ndarray]:
    """The pictures of a trained method; samples that are normalised together, `group` of them, are drawn together."""

    @jax.jit
    def pictures(params: Tree, carry: Tree, batch: Batch) -> dict[str, jax.Array]:
        progress = schedule.progress(jnp.asarray(schedule.steps, jnp.int32))
        views = first_views(method, schedule, seed, batch)
        keys = sample_keys(seed, "forward", progress.step, batch["place"])
        return method.pictures(views, method.forward(params, carry, views, keys, progress))

    drawn = pictures(params, carry, feed.first(group * -(-SHOWN // group)))
    return jax.tree.map(lambda x: np.asarray(x[:SHOWN]), drawn)
