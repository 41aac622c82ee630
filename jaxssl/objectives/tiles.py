"""Row statistics of a similarity matrix that is never built: swept in tiles forward, and again backward.

With logits x_ik = <anchor_i, candidate_k>, and for each anchor i a set of allowed candidates and, within it, one of
positives, `row_statistics` gives log sum_k exp(x_ik) over the allowed k, and the sum and the number of the positives'
x_ik. Beside its inputs it needs the memory of one tile. Where the anchors are the candidates x is symmetric: only tiles
on and above the diagonal are computed, and each serves its rows and, transposed, its columns.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxssl.objectives.rules import Rule


class RowStatistics(NamedTuple):
    """What a contrastive loss needs to know of each anchor's row of logits."""

    log_sum: Float[Array, " anchors"]
    positive_sum: Float[Array, " anchors"]
    positive_count: Float[Array, " anchors"]


class Folded(NamedTuple):
    """Row statistics of the tiles seen so far, with sum_k exp(x_ik) held as total * exp(peak)."""

    peak: Float[Array, "*rows"]
    total: Float[Array, "*rows"]
    positive_sum: Float[Array, "*rows"]
    positive_count: Float[Array, "*rows"]


class Extent(NamedTuple):
    """Which part of the matrix is real; `paired`: the anchors are the candidates, and none is its own candidate."""

    anchors: int
    candidates: int
    paired: bool


def tile_logits(
    rows: Float[Array, "rows dim"],
    columns: Float[Array, "columns dim"],
    row_numbers: Int[Array, " rows"],
    column_numbers: Int[Array, " columns"],
    extent: Extent,
    positives: Rule,
    negatives: Rule | None,
) -> tuple[Float[Array, "rows columns"], Bool[Array, "rows columns"]]:
    """Return a tile's logits, -inf where not allowed, and its positives; numbers are places in the whole matrix."""
    inside = (row_numbers < extent.anchors)[:, None] & (column_numbers < extent.candidates)[None, :]
    if extent.paired:
        inside &= row_numbers[:, None] != column_numbers[None, :]
    positive = positives(row_numbers, column_numbers) & inside
    allowed = inside if negatives is None else positive | (negatives(row_numbers, column_numbers) & inside)
    logits = jnp.matmul(rows, columns.T, precision=lax.Precision.HIGHEST)
    return jnp.where(allowed, logits, -jnp.inf), positive


def fold(state: Folded, logits: Float[Array, "r c"], positive: Bool[Array, "r c"], axis: int) -> Folded:
    """Fold a tile into the statistics of its rows (axis 1) or of its columns (axis 0)."""
    peak = jnp.maximum(state.peak, logits.max(axis))
    return Folded(
        peak,
        state.total * jnp.exp(state.peak - peak) + jnp.exp(logits - jnp.expand_dims(peak, axis)).sum(axis),
        state.positive_sum + jnp.where(positive, logits, 0).sum(axis),
        state.positive_count + positive.sum(axis, dtype=logits.dtype),
    )


def pull(saved: RowStatistics, logits: Float[Array, "r c"], positive: Bool[Array, "r c"], axis: int) -> Array:
    """Return dL/dx_ik = g_i exp(x_ik - log_sum_i) + h_i [k positive] of a tile's rows (axis 1) or columns (axis 0).

    `saved` holds log_sum and, in the places of the other two statistics, the cotangents g of log_sum and h of
    positive_sum.
    """
    log_sum, g, h = (jnp.expand_dims(value, axis) for value in saved)
    return g * jnp.exp(logits - log_sum) + jnp.where(positive, h, 0)


def _cut(x: Float[Array, " rows *rest"], block: int) -> Float[Array, "blocks size *rest"]:
    """Cut rows into equal blocks of at most `block`, padded with zeros."""
    number = -(-x.shape[0] // block)
    size = -(-x.shape[0] // number)
    padded = jnp.pad(x, [(0, number * size - x.shape[0])] + [(0, 0)] * (x.ndim - 1))
    return padded.reshape(number, size, *x.shape[1:])


def _joined(blocks: Array, rows: int) -> Array:
    return blocks.reshape(-1, *blocks.shape[2:])[:rows]


def _get(blocks, index):
    return jax.tree.map(lambda whole: lax.dynamic_index_in_dim(whole, index, keepdims=False), blocks)


def _put(blocks, index, values):
    return jax.tree.map(lambda whole, part: lax.dynamic_update_index_in_dim(whole, part, index, 0), blocks, values)


class _Sweep:
    """The tiles of one matrix, in order, computed one at a time."""

    def __init__(self, anchors: Array, candidates: Array | None, positives: Rule, negatives: Rule | None, block: int):
        self.rows = _cut(anchors, block)
        self.columns = self.rows if candidates is None else _cut(candidates, block)
        total = anchors.shape[0] if candidates is None else candidates.shape[0]
        self.extent = Extent(anchors.shape[0], total, candidates is None)
        self.rules = positives, negatives

    def tile(self, i, j):
        """Return logits and positives of the tile in block row i and block column j."""
        (_, height, _), (_, width, _) = self.rows.shape, self.columns.shape
        numbers = i * height + jnp.arange(height), j * width + jnp.arange(width)
        return tile_logits(_get(self.rows, i), _get(self.columns, j), *numbers, self.extent, *self.rules)

    def run(self, step, start):
        """Return the state after step(state, i, j) over all tiles, or those on and above the diagonal if paired."""
        shape = self.rows.shape[0], self.columns.shape[0]
        tiles = np.triu_indices(shape[0]) if self.extent.paired else np.indices(shape).reshape(2, -1)
        state, _ = lax.scan(lambda state, tile: (step(state, *tile), None), start, tuple(map(jnp.asarray, tiles)))
        return state


def _swept(
    anchors: Float[Array, "anchors dim"],
    candidates: Float[Array, "candidates dim"] | None,
    positives: Rule,
    negatives: Rule | None,
    block: int,
) -> RowStatistics:
    """Return the statistics of each anchor's row of logits, computed in tiles of at most `block` by `block`.

    candidates=None: the anchors are the candidates, without i = k. Allowed are the positives and the negatives;
    negatives=None: all. A row in which nothing is allowed has log_sum -inf.
    """
    sweep = _Sweep(anchors, candidates, positives, negatives, block)

    def step(state: Folded, i, j) -> Folded:
        logits, positive = sweep.tile(i, j)
        state = _put(state, i, fold(_get(state, i), logits, positive, 1))
        if not sweep.extent.paired:
            return state
        before = _get(state, j)
        after = fold(before, logits, positive, 0)
        # A tile on the diagonal holds each pair twice already.
        return _put(state, j, jax.tree.map(lambda old, new: jnp.where(i == j, old, new), before, after))

    zeros = jnp.zeros(sweep.rows.shape[:2], anchors.dtype)
    lowest = jnp.full_like(zeros, jnp.finfo(zeros.dtype).min)
    state = sweep.run(step, Folded(lowest, zeros, zeros, zeros))
    state = jax.tree.map(lambda blocks: _joined(blocks, anchors.shape[0]), state)
    return RowStatistics(state.peak + jnp.log(state.total), state.positive_sum, state.positive_count)


def _forward(anchors, candidates, positives, negatives, block):
    statistics = _swept(anchors, candidates, positives, negatives, block)
    return statistics, (anchors, candidates, positives, negatives, statistics.log_sum)


def _backward(block, residuals, cotangent: RowStatistics):
    anchors, candidates, positives, negatives, log_sum = residuals
    sweep = _Sweep(anchors, candidates, positives, negatives, block)
    # Where nothing is allowed every logit is -inf, and any finite log_sum gives the exp(-inf) = 0 it should be.
    finite = jnp.where(jnp.isneginf(log_sum), 0, log_sum)
    saved = RowStatistics(finite, cotangent.log_sum, cotangent.positive_sum)
    saved = jax.tree.map(lambda values: _cut(values, block), saved)

    def step(gradients, i, j):
        of_anchors, of_candidates = gradients
        logits, positive = sweep.tile(i, j)
        pulled = pull(_get(saved, i), logits, positive, 1)
        if sweep.extent.paired:
            pulled += pull(_get(saved, j), logits, positive, 0)
        to_rows = jnp.matmul(pulled, _get(sweep.columns, j), precision=lax.Precision.HIGHEST)
        to_columns = jnp.matmul(pulled.T, _get(sweep.rows, i), precision=lax.Precision.HIGHEST)
        if sweep.extent.paired:
            to_columns = jnp.where(i == j, 0, to_columns)
        return (
            _put(of_anchors, i, _get(of_anchors, i) + to_rows),
            _put(of_candidates, j, _get(of_candidates, j) + to_columns),
        )

    start = jnp.zeros_like(sweep.rows), jnp.zeros_like(sweep.columns)
    of_anchors, of_candidates = sweep.run(step, start)
    if sweep.extent.paired:
        return _joined(of_anchors + of_candidates, sweep.extent.anchors), None, None, None
    return _joined(of_anchors, sweep.extent.anchors), _joined(of_candidates, sweep.extent.candidates), None, None


row_statistics = jax.custom_vjp(_swept, nondiff_argnums=(4,))
row_statistics.defvjp(_forward, _backward)
