"""Weighted nearest-neighbour classification of frozen features (Wu et al. 2018), as DINO's evaluation defines it."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from jaxssl.errors import UserError
from jaxssl.evaluate.metrics import accuracy
from jaxssl.numerics import island

# Similarities (or votes) held at once: 64 MiB of float32, however many samples are compared.
NUMBERS = 1 << 24


class Neighbours(NamedTuple):
    """What the neighbours say: the share of test samples they class rightly, each sample's class, and how large a share
    of the votes each class has.

    The one neighbour of (4, 3) is the first of the training samples, and is wrong:

    >>> found = knn_accuracy(np.eye(2), np.array([1, 0]), np.array([[4.0, 3.0]]), np.array([0]), k=1, temperature=0.1)
    >>> found.top1, found.predictions.tolist(), found.probabilities.tolist()
    (0.0, [1], [[0.0, 1.0]])
    """

    top1: float
    predictions: Integer[np.ndarray, "test"]
    probabilities: Float[np.ndarray, "test classes"]


def knn_accuracy(
    train: Float[np.ndarray, "train dim"],
    train_labels: Integer[np.ndarray, "train"],
    test: Float[np.ndarray, "test dim"],
    test_labels: Integer[np.ndarray, "test"],
    *,
    k: int,
    temperature: float,
    classes: int | None = None,
) -> Neighbours:
    """Class each test sample by the vote of its `k` nearest training samples.

    Neighbour i with cosine similarity s_i votes exp(s_i / temperature) for its own label (labels are 0, 1, ...; there
    are `classes`, as many as `train` shows if none).
    Ties are settled by place, so that a run repeats: of equally near samples the first in `train` is taken, of
    classes with equal votes the lowest.

    Two neighbours with the cosines 1 and 0, whose votes are as 3 to 1:

    >>> train, test = np.eye(2), np.array([[5.0, 0.0]])
    >>> found = knn_accuracy(train, np.array([0, 1]), test, np.array([0]), k=2, temperature=1 / np.log(3))
    >>> found.top1, found.probabilities.round(2).tolist()
    (1.0, [[0.75, 0.25]])
    """
    if k > len(train):
        raise UserError(f"kNN cannot take k={k} neighbours of {len(train)} training samples: lower k or add subjects.")
    if min(np.min(train_labels), np.min(test_labels)) < 0:
        raise ValueError("kNN got samples without a label (-1): leave them out")
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise ValueError("kNN got features that are not finite, which are near to nothing")
    classes = classes or int(np.max(train_labels)) + 1
    votes = np.asarray(
        _votes(
            jnp.asarray(train),
            jnp.asarray(train_labels),
            jnp.asarray(test),
            temperature,
            k=k,
            classes=classes,
            block=max(1, NUMBERS // max(len(train), k * classes)),
        )
    )
    predictions = votes.argmax(axis=1)
    return Neighbours(accuracy(predictions, test_labels), predictions, votes / votes.sum(axis=1, keepdims=True))


@partial(jax.jit, static_argnames=("k", "classes", "block"))
def _votes(
    train: Float[Array, "train dim"],
    train_labels: Integer[Array, "train"],
    test: Float[Array, "test dim"],
    temperature: float,
    *,
    k: int,
    classes: int,
    block: int,
) -> Float[Array, "test classes"]:
    train, test = _unit(train), _unit(test)

    def votes_of(query: Float[Array, "dim"]) -> Float[Array, "classes"]:
        similarities, nearest = jax.lax.top_k(jnp.dot(train, query, precision="highest"), k)
        # Measured from the nearest, so that no temperature overflows; the common factor changes no vote.
        weights = jnp.exp((similarities - similarities[0]) / temperature)
        # A product with one-hot labels and not a scatter, which adds in no fixed order on a GPU.
        votes = jax.nn.one_hot(train_labels[nearest], classes, dtype=weights.dtype, axis=0)
        return jnp.dot(votes, weights, precision="highest")

    return jax.lax.map(votes_of, test, batch_size=block)


def _unit(x: Float[Array, "n dim"]) -> Float[Array, "n dim"]:
    x = island(x)
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), jnp.finfo(x.dtype).tiny)
