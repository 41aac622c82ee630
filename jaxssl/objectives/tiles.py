"""Row statistics of a similarity matrix that is never built: swept in tiles forward, and again backward.

With logits x_ik = <anchor_i, candidate_k>, and for each anchor i a set of allowed candidates and, within it, one of
positives, `row_statistics` gives log sum_k exp(x_ik) over the allowed k, and the sum and the number of the positives'
x_ik. Beside its inputs it needs the memory of one tile, and on several devices that of a guest's share of the rows.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxssl.objectives.ring import Ring
from jaxssl.objectives.sweep import Extent, Guest, Rules, Sweep, Tile, cut, get, joined, put


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


def unseen(rows: Float[Array, "*rows dim"]) -> Folded:
    """Return the statistics of rows of which no tile has been seen."""
    zeros = jnp.zeros_like(rows[..., 0])
    return Folded(jnp.full_like(zeros, jnp.finfo(zeros.dtype).min), zeros, zeros, zeros)


def fold(state: Folded, tile: Tile, axis: int) -> Folded:
    """Fold a tile into the statistics of its rows (axis 1) or of its columns (axis 0)."""
    logits, positive = tile
    peak = jnp.maximum(state.peak, logits.max(axis))
    return Folded(
        peak,
        state.total * jnp.exp(state.peak - peak) + jnp.exp(logits - jnp.expand_dims(peak, axis)).sum(axis),
        state.positive_sum + jnp.where(positive, logits, 0).sum(axis),
        state.positive_count + positive.sum(axis, dtype=logits.dtype),
    )


def merge(one: Folded, other: Folded) -> Folded:
    """Return the statistics of the tiles of both."""
    peak = jnp.maximum(one.peak, other.peak)
    return Folded(
        peak,
        one.total * jnp.exp(one.peak - peak) + other.total * jnp.exp(other.peak - peak),
        one.positive_sum + other.positive_sum,
        one.positive_count + other.positive_count,
    )


def pull(saved: RowStatistics, tile: Tile, axis: int) -> Float[Array, "rows columns"]:
    """Return dL/dx_ik = g_i exp(x_ik - log_sum_i) + h_i [k positive] of a tile's rows (axis 1) or columns (axis 0).

    `saved` holds log_sum and, in the places of the other two statistics, the cotangents g of log_sum and h of
    positive_sum.
    """
    log_sum, g, h = (jnp.expand_dims(value, axis) for value in saved)
    return g * jnp.exp(tile.logits - log_sum) + jnp.where(tile.positive, h, 0)


def _extent(anchors: Array, candidates: Array | None) -> Extent:
    return Extent(len(anchors), len(anchors if candidates is None else candidates), candidates is None)


def _swept(
    anchors: Float[Array, "anchors dim"],
    candidates: Float[Array, "candidates dim"] | None,
    rules: Rules,
    block: int,
    ring: Ring,
) -> RowStatistics:
    """Return the statistics of each anchor's row of logits, computed in tiles of at most `block` by `block`.

    candidates=None: the anchors are the candidates, without i = k. Allowed are the positives and the negatives;
    negatives=None: all. A row in which nothing is allowed has log_sum -inf.
    """
    extent = _extent(anchors, candidates)

    def step(of_rows: Folded, of_columns: Folded | None, guest: Guest, tile: Tile, i, j):
        del guest
        of_rows = put(of_rows, i, fold(get(of_rows, i), tile, 1))
        if of_columns is not None:
            of_columns = put(of_columns, j, fold(get(of_columns, j), tile, 0))
        return of_rows, of_columns

    def of_share(rules: Rules, anchors: Array, candidates: Array | None) -> RowStatistics:
        sweep = Sweep(anchors, candidates, extent, rules, block, ring)
        nothing = unseen(sweep.rows)
        folded, of_columns = sweep.run(step, nothing, nothing if extent.paired else None)
        if extent.paired:
            folded = merge(folded, of_columns)
        peak, total, positive_sum, positive_count = (joined(blocks, len(anchors)) for blocks in folded)
        return RowStatistics(peak + jnp.log(total), positive_sum, positive_count)

    statistics = ring.deal(of_share, rules, anchors, candidates)
    return jax.tree.map(lambda values: values[: extent.anchors], statistics)


def _forward(anchors, candidates, rules, block, ring):
    statistics = _swept(anchors, candidates, rules, block, ring)
    return statistics, (anchors, candidates, rules, statistics.log_sum)


def _backward(block, ring, residuals, cotangent: RowStatistics):
    anchors, candidates, rules, log_sum = residuals
    extent = _extent(anchors, candidates)

    def of_share(rules: Rules, anchors: Array, candidates: Array | None, saved: RowStatistics):
        sweep = Sweep(anchors, candidates, extent, rules, block, ring)
        saved = jax.tree.map(lambda values: cut(values, block), saved)

        def step(of_rows, of_columns, guest: Guest, tile: Tile, i, j):
            pulled = pull(get(saved, i), tile, 1)
            if extent.paired:
                pulled += pull(get(guest.known, j), tile, 0)
            to_rows = jnp.matmul(pulled, get(guest.columns, j), precision=lax.Precision.HIGHEST)
            to_columns = jnp.matmul(pulled.T, get(sweep.rows, i), precision=lax.Precision.HIGHEST)
            return put(of_rows, i, get(of_rows, i) + to_rows), put(of_columns, j, get(of_columns, j) + to_columns)

        start = jnp.zeros_like(sweep.rows), jnp.zeros_like(sweep.columns)
        of_rows, of_columns = sweep.run(step, *start, saved if extent.paired else None)
        if candidates is None:
            return joined(of_rows + of_columns, len(anchors)), None
        return joined(of_rows, len(anchors)), joined(of_columns, len(candidates))

    # Where nothing is allowed every logit is -inf, and any finite log_sum gives the exp(-inf) = 0 it should be.
    finite = jnp.where(jnp.isneginf(log_sum), 0, log_sum)
    saved = RowStatistics(finite, cotangent.log_sum, cotangent.positive_sum)
    of_anchors, of_candidates = ring.deal(of_share, rules, anchors, candidates, saved)
    return of_anchors[: extent.anchors], None if extent.paired else of_candidates[: extent.candidates], None


row_statistics = jax.custom_vjp(_swept, nondiff_argnums=(3, 4))
row_statistics.defvjp(_forward, _backward)
