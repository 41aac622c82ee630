"""Which candidates belong to which anchor, answered for any block of rows and columns from one number per row.

A rule is a pytree: it passes through `jit`, and its metadata may be traced. Rules are combined with `|`, `&` and `~`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from jaxssl.numerics import island

TIE = 1e-6
"""Distances that differ by less are equal: places k / (n - 1) of a stack meet a threshold of .1 but for rounding."""


class Rule:
    """A relation between anchors and candidates."""

    def __call__(self, rows: Int[Array, " rows"], columns: Int[Array, " columns"]) -> Bool[Array, "rows columns"]:
        """Say which of the anchors numbered `rows` and the candidates numbered `columns` belong together."""
        raise NotImplementedError

    def check(self, anchors: int, candidates: int | None) -> None:
        """Raise ValueError unless the metadata fit this many anchors and candidates (None: the anchors themselves)."""
        raise NotImplementedError

    def __or__(self, other: Rule) -> Rule:
        return Combined((self, other), jnp.logical_or)

    def __and__(self, other: Rule) -> Rule:
        return Combined((self, other), jnp.logical_and)

    def __invert__(self) -> Rule:
        return Combined((self,), jnp.logical_not)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Combined(Rule):
    """Rules joined by a logical operation."""

    operands: tuple[Rule, ...]
    operation: Callable[..., Array] = field(metadata={"static": True})

    def __call__(self, rows: Int[Array, " rows"], columns: Int[Array, " columns"]) -> Bool[Array, "rows columns"]:
        return self.operation(*(operand(rows, columns) for operand in self.operands))

    def check(self, anchors: int, candidates: int | None) -> None:
        for operand in self.operands:
            operand.check(anchors, candidates)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Comparison(Rule):
    """A rule that compares one value of the anchor with one of the candidate; candidates None: the anchors' values."""

    anchors: Array
    candidates: Array | None

    def compare(self, anchors: Array, candidates: Array) -> Array:
        """Compare broadcastable values of anchors and candidates."""
        raise NotImplementedError

    def __call__(self, rows: Int[Array, " rows"], columns: Int[Array, " columns"]) -> Bool[Array, "rows columns"]:
        candidates = self.anchors if self.candidates is None else self.candidates
        # Blocks are padded: a number past the end is answered with the last value and masked by the caller.
        anchor_values = jnp.take(self.anchors, rows, mode="clip")
        return self.compare(anchor_values[:, None], jnp.take(candidates, columns, mode="clip")[None, :])

    def check(self, anchors: int, candidates: int | None) -> None:
        if candidates is None and self.candidates is not None:
            raise ValueError("a rule has metadata of candidates, but contrastive_loss was given no candidates")
        found = self.anchors if self.candidates is None else self.candidates
        expected = anchors if candidates is None else candidates
        if self.anchors.shape != (anchors,) or found.shape != (expected,):
            raise ValueError(
                f"a rule has metadata of shape {self.anchors.shape} for {anchors} anchors "
                f"and {found.shape} for {expected} candidates; one value per row is needed"
            )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Same(Comparison):
    """The values are equal."""

    def compare(self, anchors: Array, candidates: Array) -> Array:
        """Compare for equality."""
        return anchors == candidates


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SameLabel(Comparison):
    """The values are equal and not negative."""

    def compare(self, anchors: Array, candidates: Array) -> Array:
        """Compare for equality; an unlabelled row equals nothing."""
        return (anchors == candidates) & (anchors >= 0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Near(Comparison):
    """The values differ by less than a threshold."""

    threshold: ArrayLike

    def compare(self, anchors: Array, candidates: Array) -> Array:
        """Compare the distance with the threshold; nan is near nothing."""
        return jnp.abs(anchors - candidates) < self.threshold - TIE


def _optional(values: ArrayLike | None) -> Array | None:
    return None if values is None else jnp.asarray(values)


def same_instance(ids: Int[ArrayLike, " anchors"], candidate_ids: Int[ArrayLike, " candidates"] | None = None) -> Rule:
    """Relate views of one image: equal ids. An anchor is never related to itself where it is its own candidate.

    What a rule says of rows and columns, here whether view 0 and views 0, 1 and 2 are of one image:

    >>> same_instance([7, 7, 8])(jnp.array([0]), jnp.arange(3)).tolist()
    [[True, True, False]]
    """
    return Same(jnp.asarray(ids), _optional(candidate_ids))


def same_subject(
    subjects: Int[ArrayLike, " anchors"], candidate_subjects: Int[ArrayLike, " candidates"] | None = None
) -> Rule:
    """Relate images of one subject: `near_position(...) & ~same_subject(...)` is "other scans only".

    >>> others = near_position([0.5, 0.5, 0.5], 0.1) & ~same_subject([1, 1, 2])
    >>> others(jnp.array([0]), jnp.arange(3)).tolist()
    [[False, False, True]]
    """
    return Same(jnp.asarray(subjects), _optional(candidate_subjects))


def same_label(
    labels: Int[ArrayLike, " anchors"], candidate_labels: Int[ArrayLike, " candidates"] | None = None
) -> Rule:
    """Relate rows of one label; a negative label means unlabelled and is related to nothing (its `~` to everything).

    >>> same_label([3, 3, -1, -1])(jnp.arange(2, 4), jnp.arange(4)).any().item()
    False
    """
    return SameLabel(jnp.asarray(labels), _optional(candidate_labels))


def near_position(
    positions: Float[ArrayLike, " anchors"],
    threshold: ArrayLike,
    candidate_positions: Float[ArrayLike, " candidates"] | None = None,
) -> Rule:
    """Relate rows whose positions differ by less than `threshold`, by rounding (1e-6) at least.

    An unknown position (nan) is related to nothing.

    >>> near_position([0.0, 0.05, 0.3, jnp.nan], 0.1)(jnp.array([0]), jnp.arange(4)).tolist()
    [[True, True, False, False]]
    """
    others = None if candidate_positions is None else island(jnp.asarray(candidate_positions))
    return Near(island(jnp.asarray(positions)), others, threshold)
