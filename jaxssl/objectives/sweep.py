"""The tiles of a similarity matrix, computed one at a time: each device keeps its rows while the columns come round.

Where the anchors are the candidates the matrix is symmetric, and each pair is computed once, for its row and for its
column. Half a round is then enough: whoever would come next has had this device as its guest. One device is a ring of
one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from jaxssl.objectives.ring import Ring, pad_rows
from jaxssl.objectives.rules import Rule


class Rules(NamedTuple):
    """Which candidates attract, and which repel (None: every one)."""

    positives: Rule
    negatives: Rule | None


class Extent(NamedTuple):
    """Which part of the matrix is real; `paired`: the anchors are the candidates, and none is its own candidate."""

    anchors: int
    candidates: int
    paired: bool


class Tile(NamedTuple):
    """A part of the matrix: its logits, -inf where not allowed, and its positives."""

    logits: Float[Array, "rows columns"]
    positive: Bool[Array, "rows columns"]


class Guest(NamedTuple):
    """The columns that a device has come with, and what must be known of them."""

    columns: Float[Array, "blocks size dim"]
    known: PyTree


def cut(x: Shaped[Array, " rows *rest"], block: int) -> Shaped[Array, "blocks size *rest"]:
    """Cut rows into equal blocks of at most `block`, padded with zeros."""
    number = -(-x.shape[0] // block)
    size = -(-x.shape[0] // number)
    return pad_rows(x, number * size - x.shape[0]).reshape(number, size, *x.shape[1:])


def joined(blocks: Shaped[Array, "blocks size *rest"], rows: int) -> Shaped[Array, " rows *rest"]:
    """Undo `cut`."""
    return blocks.reshape(-1, *blocks.shape[2:])[:rows]


def get(blocks: PyTree, index: Int[Array, ""]) -> PyTree:
    """Return one block of each array."""
    return jax.tree.map(lambda whole: lax.dynamic_index_in_dim(whole, index, keepdims=False), blocks)


def put(blocks: PyTree, index: Int[Array, ""], values: PyTree) -> PyTree:
    """Return the arrays with one block replaced."""
    return jax.tree.map(lambda whole, part: lax.dynamic_update_index_in_dim(whole, part, index, 0), blocks, values)


class Sweep:
    """All tiles of one device's rows, from its share of the anchors and of the candidates (None: the anchors)."""

    def __init__(self, anchors: Array, candidates: Array | None, extent: Extent, rules: Rules, block: int, ring: Ring):
        self.rows = cut(anchors, block)
        self.columns = self.rows if candidates is None else cut(candidates, block)
        self.shares = len(anchors), len(anchors if candidates is None else candidates)
        self.extent, self.rules, self.ring = extent, rules, ring

    def run(self, step: Callable, mine: PyTree, theirs: PyTree, known: PyTree = None) -> tuple[PyTree, PyTree]:
        """Return `mine` and `theirs` after (mine, theirs) = step(mine, theirs, guest, tile, i, j) for each tile.

        `mine` is of this device's rows. `theirs` is of the columns: it goes round with them, starts and ends at their
        home; `known` goes with them too. The tile is that of block i of the rows and block j of the columns.
        """
        state, met = (mine, theirs, Guest(self.columns, known)), 0
        for number, halved in self._meetings():
            meet = self._meeting(step, halved)
            state, _ = lax.scan(meet, state, met + np.arange(number))
            met += number
        mine, theirs, _ = state
        return mine, self.ring.hand_on(theirs, -met)

    def _meetings(self) -> list[tuple[int, bool]]:
        """Return how many guests are met in turn, and whether for half of the pairs; the first is the device itself."""
        if not self.extent.paired:
            return [(self.ring.size, False)]
        # Devices that face each other across the ring are each other's guest at the same time.
        meetings = [(1, True), ((self.ring.size - 1) // 2, False), (1 - self.ring.size % 2, True)]
        return [(number, halved) for number, halved in meetings if number]

    def _meeting(self, step: Callable, halved: bool) -> Callable:
        """Return the part of a scan that goes through the tiles of one guest and then hands it on."""
        shape = self.rows.shape[0], self.columns.shape[0]
        tiles = np.triu_indices(shape[0]) if halved else np.indices(shape).reshape(2, -1)

        def meet(state, met):
            mine, theirs, guest = state
            home = (self.ring.place() + met) % self.ring.size

            def one(state, place):
                (mine, theirs), (i, j) = state, place
                return step(mine, theirs, guest, self._tile(i, j, guest.columns, home, halved), i, j), None

            (mine, theirs), _ = lax.scan(one, (mine, theirs), tuple(map(jnp.asarray, tiles)))
            return (mine, self.ring.hand_on(theirs), self.ring.hand_on(guest)), None

        return meet

    def _tile(self, i, j, columns: Array, home: Int[Array, ""], halved: bool) -> Tile:
        """Compute the tile of block i of the rows and block j of the columns from the device `home`."""
        here, (row_share, column_share) = self.ring.place(), self.shares
        height, width = self.rows.shape[1], columns.shape[1]
        r, c = i * height + jnp.arange(height), j * width + jnp.arange(width)
        # What pads a block is numbered past the end, as what pads the last shares is already.
        row_numbers = jnp.where(r < row_share, here * row_share + r, self.extent.anchors)
        column_numbers = jnp.where(c < column_share, home * column_share + c, self.extent.candidates)
        inside = (row_numbers < self.extent.anchors)[:, None] & (column_numbers < self.extent.candidates)[None, :]
        if halved:
            # Each pair once, and at home none with itself; pairs of equal places are for the first of two devices.
            inside &= r[:, None] < c[None, :] + (here < home)
        positive = self.rules.positives(row_numbers, column_numbers) & inside
        allowed = inside
        if self.rules.negatives is not None:
            allowed = positive | (self.rules.negatives(row_numbers, column_numbers) & inside)
        logits = jnp.matmul(get(self.rows, i), get(columns, j).T, precision=lax.Precision.HIGHEST)
        return Tile(jnp.where(allowed, logits, -jnp.inf), positive)
