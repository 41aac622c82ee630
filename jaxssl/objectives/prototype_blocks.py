"""Sums over all prototypes for each row, from scores <feature, prototype> that exist a block of prototypes at a time.

Rows have any number of leading axes, which stay apart: one that is spread over devices could not be merged with another
and stay so. Everything here is in the type that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxssl.objectives.sweep import cut, joined

EXACT = lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Targets:
    """A teacher's probabilities in factors: p_ik = exp(<features_i, prototypes_k> + of_prototypes_k + of_rows_i).

    Softmax, centred softmax and Sinkhorn are all of this form. The features are divided by the temperature already.
    """

    features: Float[Array, "*rows dim"]
    prototypes: Float[Array, "prototypes dim"]
    of_prototypes: Float[Array, " prototypes"]
    of_rows: Float[Array, "*rows"]


class Block(NamedTuple):
    """Some of the prototypes, and what is added to their scores: -inf where they are mere padding."""

    prototypes: Float[Array, "*blocks size dim"]
    offsets: Float[Array, "*blocks size"]


def blocks_of(prototypes: Float[Array, "prototypes dim"], offsets: Float[Array, " prototypes"], size: int) -> Block:
    """All prototypes in equal blocks of at most `size`."""
    blocks = cut(prototypes, size)
    padded = jnp.arange(blocks.shape[0] * blocks.shape[1]).reshape(blocks.shape[:2]) >= len(prototypes)
    return Block(blocks, jnp.where(padded, -jnp.inf, cut(offsets, size)))


def scores(features: Float[Array, "*rows dim"], block: Block) -> Float[Array, "*rows size"]:
    """<feature, prototype> + offset."""
    return jnp.einsum("...d,kd->...k", features, block.prototypes, precision=EXACT) + block.offsets


class LogSum(NamedTuple):
    """log sum_k exp(score_k) of the blocks seen so far, held as total * exp(peak)."""

    peak: Float[Array, "*rows"]
    total: Float[Array, "*rows"]

    @classmethod
    def of_nothing(cls, features: Float[Array, "*rows dim"]) -> LogSum:
        zeros = jnp.zeros_like(features[..., 0])
        return cls(jnp.full_like(zeros, jnp.finfo(zeros.dtype).min), zeros)

    def with_block(self, scores: Float[Array, "*rows size"]) -> LogSum:
        peak = jnp.maximum(self.peak, scores.max(axis=-1))
        seen, new = self.total * jnp.exp(self.peak - peak), jnp.exp(scores - peak[..., None]).sum(axis=-1)
        return LogSum(peak, seen + new)

    def value(self) -> Float[Array, "*rows"]:
        return self.peak + jnp.log(self.total)


def log_sums(features: Array, prototypes: Array, offsets: Array, size: int) -> Float[Array, "*rows"]:
    """log sum_k exp(<feature, prototype_k> + offset_k) of each row."""

    def one(state: LogSum, block: Block) -> tuple[LogSum, None]:
        return state.with_block(scores(features, block)), None

    return lax.scan(one, LogSum.of_nothing(features), blocks_of(prototypes, offsets, size))[0].value()


def balanced(
    features: Array, prototypes: Array, of_rows: Float[Array, "*rows"], size: int
) -> tuple[Float[Array, " prototypes"], Float[Array, "*rows"]]:
    """One iteration of Sinkhorn: factors of the prototypes for these factors of the rows, then those of the rows anew.

    It is one sweep: a block's factors are known as soon as its scores are, and can be in the rows' next sum at once.
    """
    axes = tuple(range(of_rows.ndim))

    def one(state: LogSum, block: Block) -> tuple[LogSum, Array]:
        here = scores(features, block)
        # A score of padding is -inf and says nothing of a total; the prototypes' factors come from real ones only.
        factors = jnp.where(jnp.isneginf(block.offsets), 0, -jax.nn.logsumexp(here + of_rows[..., None], axis=axes))
        return state.with_block(here + factors), factors

    blocks = blocks_of(prototypes, jnp.zeros_like(prototypes[:, 0]), size)
    state, of_prototypes = lax.scan(one, LogSum.of_nothing(features), blocks)
    return joined(of_prototypes, len(prototypes)), -state.value()


def _log_partition(features: Array, prototypes: Array, size: int) -> Float[Array, "*rows"]:
    """log sum_k exp(<feature, prototype_k>) of each row."""
    return log_sums(features, prototypes, jnp.zeros_like(prototypes[:, 0]), size)


def _log_partition_forward(features, prototypes, size):
    value = _log_partition(features, prototypes, size)
    return value, (features, prototypes, value)


def _log_partition_backward(size, residuals, cotangent):
    features, prototypes, log_sum = residuals

    def one(of_features: Array, block: Block) -> tuple[Array, Array]:
        weights = cotangent[..., None] * jnp.exp(scores(features, block) - log_sum[..., None])
        of_features += jnp.matmul(weights, block.prototypes, precision=EXACT)
        return of_features, _to_prototypes(weights, features)

    blocks = blocks_of(prototypes, jnp.zeros_like(prototypes[:, 0]), size)
    of_features, of_prototypes = lax.scan(one, jnp.zeros_like(features), blocks)
    return of_features, joined(of_prototypes, len(prototypes))


log_partition = jax.custom_vjp(_log_partition, nondiff_argnums=(2,))
log_partition.defvjp(_log_partition_forward, _log_partition_backward)


def _expected_prototype(prototypes: Array, targets: Targets, size: int) -> Float[Array, "*rows dim"]:
    """sum_k p_ik w_k for each row of the targets, which are constants; linear in the prototypes."""

    def one(expected: Array, blocks: tuple[Array, Block]) -> tuple[Array, None]:
        block, of_targets = blocks
        return expected + jnp.matmul(_probabilities(targets, of_targets), block, precision=EXACT), None

    nothing = jnp.zeros((*targets.of_rows.shape, prototypes.shape[1]), prototypes.dtype)
    return lax.scan(one, nothing, (cut(prototypes, size), _blocks_of_targets(targets, size)))[0]


def _expected_prototype_forward(prototypes, targets, size):
    return _expected_prototype(prototypes, targets, size), targets


def _expected_prototype_backward(size, targets, cotangent):
    def one(nothing: None, block: Block) -> tuple[None, Array]:
        return nothing, _to_prototypes(_probabilities(targets, block), cotangent)

    _, of_prototypes = lax.scan(one, None, _blocks_of_targets(targets, size))
    return joined(of_prototypes, len(targets.prototypes)), None


expected_prototype = jax.custom_vjp(_expected_prototype, nondiff_argnums=(2,))
expected_prototype.defvjp(_expected_prototype_forward, _expected_prototype_backward)


def entropy_and_usage(targets: Targets, size: int) -> tuple[Float[Array, "*rows"], Float[Array, " prototypes"]]:
    """- sum_k p_ik log p_ik of each row i, and the mean over rows of each p_k."""

    def one(entropy: Array, block: Block) -> tuple[Array, Array]:
        log_probs = scores(targets.features, block) + targets.of_rows[..., None]
        probs = jnp.exp(log_probs)
        usage = probs.mean(axis=tuple(range(entropy.ndim)))
        return entropy - jnp.sum(jnp.where(probs > 0, probs * log_probs, 0), axis=-1), usage

    entropy, usage = lax.scan(one, jnp.zeros_like(targets.of_rows), _blocks_of_targets(targets, size))
    return entropy, joined(usage, len(targets.prototypes))


def _blocks_of_targets(targets: Targets, size: int) -> Block:
    return blocks_of(targets.prototypes, targets.of_prototypes, size)


def _probabilities(targets: Targets, block: Block) -> Float[Array, "*rows size"]:
    return jnp.exp(scores(targets.features, block) + targets.of_rows[..., None])


def _to_prototypes(weights: Float[Array, "*rows size"], rows: Float[Array, "*rows dim"]) -> Float[Array, "size dim"]:
    return jnp.einsum("...k,...d->kd", weights, rows, precision=EXACT)
