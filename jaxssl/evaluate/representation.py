"""What frozen features are like before any label is asked for: in how many directions they differ, how near the views
of one image stay, how evenly images fill the sphere, and which images lie near which.

Sums are taken in float64, a block of rows after the other: no matrix of all pairs is ever held.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer
from scipy.stats import entropy

from jaxssl.augment.options import Augment
from jaxssl.data.cache import Cache
from jaxssl.data.columns import LABEL
from jaxssl.data.plan import Rows
from jaxssl.evaluate.batches import outputs
from jaxssl.methods import parts
from jaxssl.methods.base import Batch, for_display
from jaxssl.train.keys import named_key

MOST, MOST_PAIRS = 5000, 500
"""Images that are measured, and that are shown to the encoder in two views, evenly spread over those there are."""

QUERIES, FOUND = 6, 5
"""Images whose neighbours are shown, and how many of these."""

NUMBERS = 1 << 21
"""Of float64 in a block: 16 MiB."""

VIEWS = Augment.upright()
"""The views whose distance is the alignment: the same for every run, whatever it was trained with."""

Table = Float[np.ndarray, "n dim"]


class Representation(NamedTuple):
    """`measures` are ready for JSON; `pictures` are "neighbours/query" [q, y, x] and "neighbours/found" [q, k, y, x],
    float32 in 0..1, of the images that `measures["neighbours"]` names in the same order."""

    measures: dict[str, Any]
    pictures: dict[str, np.ndarray]


def represent(
    encode: Callable[[Batch], jax.Array],
    cache: Cache,
    arrays: Mapping[str, np.ndarray],
    *,
    train: Collection[str],
    test: Collection[str],
    batch: int,
) -> Representation:
    """Measures of the test subjects' images, and the neighbours of some of them among those of training subjects.

    `arrays` has `embedding`, `id` (rows of the cache) and `subject` of the images of both; `encode` is what made them,
    `batch` images at a time.
    """
    embedding, rows, subjects = arrays["embedding"], arrays["id"], arrays["subject"]
    tested, known = (np.flatnonzero(np.isin(subjects, list(part))) for part in (test, train))
    measured = tested[_spread(len(tested), MOST)]
    paired = measured[_spread(len(measured), MOST_PAIRS)]
    asked = tested[_queries(subjects[tested])]
    found, similarities = nearest(embedding[asked], subjects[asked], embedding[known], subjects[known])
    near = known[found]
    measures = {
        "images": len(measured),
        "subjects": len(np.unique(subjects[measured])),
        "dim": embedding.shape[1],
        "rankme": rankme(embedding[measured]),
        "effective_rank": effective_rank(embedding[measured]),
        "alignment": alignment(*in_two_views(encode, cache, rows[paired], batch)),
        "uniformity": uniformity(embedding[measured]),
        "neighbours": [
            {
                **_named(cache, rows[query]),
                "found": [
                    {**_named(cache, rows[place]), "similarity": float(similarity)}
                    for place, similarity in zip(places, own, strict=True)
                ],
            }
            for query, places, own in zip(asked, near, similarities, strict=True)
        ],
    }
    shown = np.asarray(for_display(jnp.asarray(cache.images[rows[near].ravel()])))
    pictures = {
        "neighbours/query": np.asarray(for_display(jnp.asarray(cache.images[rows[asked]]))),
        "neighbours/found": shown.reshape(*near.shape, *shown.shape[1:]),
    }
    return Representation(measures, pictures)


def rankme(embedding: Table) -> float:
    """exp(-sum p log p) with p = s / sum(s), s the singular values of the embeddings, not centred (RankMe, Garrido et
    al. 2023, without its epsilon): the number of directions, if all are used alike; 1 where all embeddings lie on one
    line, 0 where all are 0.

    >>> round(rankme(np.eye(4)), 4), round(rankme(np.ones([4, 4])), 4)
    (4.0, 1.0)
    """
    values = _singular_values(_blocks(embedding), embedding.shape[1])
    return float(np.exp(entropy(values))) if values.any() else 0.0


def effective_rank(embedding: Table) -> float:
    """(tr C)^2 / tr(C^2) of the covariance C of unit embeddings, the participation ratio of its eigenvalues, which
    training logs of its batches (`methods.parts.spread`): 0 where all embeddings are one.

    Two directions, and both ways along them:

    >>> round(effective_rank(np.concatenate([np.eye(3)[:2], -np.eye(3)[:2]])), 4)
    2.0
    """
    count, dim = embedding.shape
    mean = sum(_unit(block).sum(axis=0) for block in _blocks(embedding)) / count
    variances = _singular_values((_unit(block) - mean for block in _blocks(embedding)), dim) ** 2
    # Of equal embeddings nothing but the rounding of their mean is left.
    if variances.sum() <= count * (64 * np.finfo(np.float64).eps) ** 2:
        return 0.0
    return float(variances.sum() ** 2 / (variances**2).sum())


def alignment(first: Table, second: Table) -> float:
    """Mean `|u - v|^2` of unit embeddings of two views of an image (Wang and Isola 2020, their alpha 2): 0 to 4.

    One image's views point to opposite sides, another's are at a right angle:

    >>> alignment(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[-1.0, 0.0], [0.0, 1.0]]))
    3.0
    """
    distances = ((_unit(one) - _unit(other)) ** 2 for one, other in zip(_blocks(first), _blocks(second), strict=True))
    return float(sum(block.sum() for block in distances) / len(first))


def uniformity(embedding: Table) -> float | None:
    """log of the mean over pairs of different images of `exp(-2 |u - v|^2)`, of unit embeddings (Wang and Isola 2020,
    their t 2): 0 where all are one, towards -4 where many directions are filled evenly; None for fewer than two images.

    Images at right angles are at a distance of the root of 2:

    >>> round(uniformity(np.eye(3)), 4)
    -4.0
    """
    count = len(embedding)
    if count < 2:
        return None
    unit = _unit(embedding.astype(np.float64))
    squares = (unit**2).sum(axis=1)
    total = 0.0
    for rows in _slices(count, count):
        distances = squares[rows, None] + squares - 2 * unit[rows] @ unit.T
        total += np.exp(-2 * np.maximum(distances, 0)).sum()
    # Each image with itself has added 1.
    return float(np.log((total - count) / (count * (count - 1))))


def nearest(
    query: Table, query_subjects: np.ndarray, table: Table, subjects: np.ndarray, k: int = FOUND
) -> tuple[Integer[np.ndarray, "queries k"], Float[np.ndarray, "queries k"]]:
    """For each query the most similar row of each of the k nearest subjects other than its own, and the cosines.

    One row a subject, because the next frames of one beat are nearer than anything else. Of equals the first is taken.
    Where there are fewer other subjects, these are all.

    The query is of subject a, whose own row is no answer:

    >>> table, subjects = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), np.array(["a", "b", "c"])
    >>> found, cosines = nearest(np.array([[1.0, 0.0]]), np.array(["a"]), table, subjects, k=1)
    >>> found.tolist(), cosines.tolist()
    ([[2]], [[0.6]])
    """
    unit = _unit(query.astype(np.float64))
    cosines = np.concatenate([_unit(block) @ unit.T for block in _blocks(table)]).T
    k = min(k, *(len(np.unique(subjects[subjects != own])) for own in query_subjects))
    found = np.stack([_first_of_each(own, subjects, but, k) for own, but in zip(cosines, query_subjects, strict=True)])
    return found, np.take_along_axis(cosines, found, axis=1)


def in_two_views(
    encode: Callable[[Batch], jax.Array], cache: Cache, rows: Rows, batch: int, options: Augment = VIEWS
) -> Float[np.ndarray, "2 rows dim"]:
    """Embeddings of two random views of these images, drawn by their rows: the same whichever others are asked for."""

    # Views are standardised already.
    as_it_is = {"mean": np.zeros(batch, np.float32), "std": np.ones(batch, np.float32)}

    @jax.jit
    def views(images: Batch) -> list[Batch]:
        key = named_key(0, "alignment")
        keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(images["id"])
        return [{"image": parts.view(keys, index, images, options)[0], **as_it_is} for index in range(2)]

    def both(images: Batch) -> jax.Array:
        return jnp.stack([encode(view) for view in views(images)], axis=1)

    return np.stack(list(outputs(both, cache, rows, batch)), axis=1)


def _first_of_each(
    cosines: Float[np.ndarray, " n"], subjects: np.ndarray, but: Any, k: int
) -> Integer[np.ndarray, " k"]:
    order = np.argsort(-cosines, kind="stable")
    order = order[subjects[order] != but]
    firsts = np.sort(np.unique(subjects[order], return_index=True)[1])
    return order[firsts[:k]]


def _queries(subjects: np.ndarray) -> Integer[np.ndarray, " queries"]:
    """One image of each of some subjects, evenly spread: from the first image of the first to the last of the last."""
    names = np.unique(subjects)
    chosen = names[_spread(len(names), QUERIES)]
    own = [np.flatnonzero(subjects == name) for name in chosen]
    return np.array([rows[int((place + 0.5) / len(own) * len(rows))] for place, rows in enumerate(own)])


def _named(cache: Cache, row: Any) -> dict[str, Any]:
    """What is known of an image."""

    def name(column: str) -> str:
        code = cache.table[column][row]
        return cache.names[column][code] if code >= 0 else ""

    said = {column: name(column) for column in ("subject", "view", "moment")}
    labels = {column.removeprefix(LABEL): name(column) for column in cache.table if column.startswith(LABEL)}
    place = {"slice": int(cache.table["slice"][row]), "phase": round(float(cache.table["phase"][row]), 4)}
    return {**said, **place, "labels": labels}


def _singular_values(blocks: Iterator[Table], dim: int) -> Float[np.ndarray, " values"]:
    """Of all blocks together: those of the triangle that QR leaves of them, block by block."""
    triangle = np.zeros((0, dim))
    for block in blocks:
        triangle = np.linalg.qr(np.concatenate([triangle, block]), mode="r")
    return np.linalg.svd(triangle, compute_uv=False)


def _unit(rows: Table) -> Table:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(rows.dtype).tiny)


def _blocks(table: Table) -> Iterator[Table]:
    return (table[rows].astype(np.float64) for rows in _slices(*table.shape))


def _slices(count: int, width: int) -> Iterator[slice]:
    """Slices of `count` rows, of which `width` numbers each make a block."""
    step = max(1, NUMBERS // width)
    return (slice(start, start + step) for start in range(0, count, step))


def _spread(count: int, most: int) -> Integer[np.ndarray, " chosen"]:
    """At most `most` of `count` places, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
