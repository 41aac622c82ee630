"""The losses of `distillation` over very many prototypes, which are taken a block at a time, forward and backward.

An array of views x batch x prototypes is never made, neither of the student's logits nor of the teacher's
probabilities. With logits x_ik = <f_i, w_k> / T of rows i a cross-entropy needs two things only:

    - sum_k p_ik log softmax(x_i)_k = log sum_k exp(x_ik) - <f_i, c_i> / T,    c_i = sum_k p_ik w_k

the log-partition of the student and the prototype that the teacher expects. Both are sums over blocks.

Under `jax.set_mesh` the batch is spread over all devices, and each works on its own samples against all prototypes.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from jaxssl.numerics import island
from jaxssl.objectives.distillation import view_pairs
from jaxssl.objectives.prototype_blocks import (
    EXACT,
    Targets,
    balanced,
    entropy_and_usage,
    expected_prototype,
    log_partition,
    log_sums,
)
from jaxssl.objectives.ring import current_ring

BLOCK = 2048


def centred_targets(
    features: Float[Array, "views batch *patches dim"],
    prototypes: Float[Array, "prototypes dim"],
    centre: Float[Array, " prototypes"],
    temperature: float | Float[Array, ""],
    block_size: int | None = None,
) -> Targets:
    """`centre_softmax` of the logits <feature, prototype>; not differentiated."""
    features, prototypes = _of_teacher(features, prototypes, temperature)
    of_prototypes = -lax.stop_gradient(island(centre)) / temperature
    of_rows = -log_sums(features, prototypes, of_prototypes, block_size or BLOCK)
    return Targets(features, prototypes, of_prototypes, of_rows)


def sinkhorn_targets(
    features: Float[Array, "views batch *patches dim"],
    prototypes: Float[Array, "prototypes dim"],
    temperature: float | Float[Array, ""],
    iterations: int = 3,
    block_size: int | None = None,
) -> Targets:
    """`sinkhorn` of the logits <feature, prototype>, over all rows jointly; not differentiated."""
    features, prototypes = _of_teacher(features, prototypes, temperature)
    of_prototypes, of_rows = jnp.zeros_like(prototypes[:, 0]), jnp.zeros_like(features[..., 0])
    for _ in range(iterations):
        of_prototypes, of_rows = balanced(features, prototypes, of_rows, block_size or BLOCK)
    return Targets(features, prototypes, of_prototypes, of_rows)


def next_centre(
    centre: Float[Array, " prototypes"],
    features: Float[Array, "views batch *patches dim"],
    prototypes: Float[Array, "prototypes dim"],
    momentum: float,
) -> Float[Array, " prototypes"]:
    """centre <- momentum centre + (1 - momentum) mean logit, which is the logit of the mean feature."""
    mean = island(features).mean(axis=tuple(range(features.ndim - 1)))
    logits = jnp.matmul(island(prototypes), mean, precision=EXACT)
    return lax.stop_gradient(momentum * centre + (1 - momentum) * logits)


def prototype_loss(
    features: Float[Array, "views batch dim"],
    prototypes: Float[Array, "prototypes dim"],
    teacher_probs: Float[Array, "teacher_views batch prototypes"] | Targets,
    *,
    temperature: float | Float[Array, ""] = 0.1,
    block_size: int | None = None,
) -> Float[Array, ""]:
    """`dino_loss` of the logits <feature, prototype>, without ever holding them.

    `teacher_probs` is an array where there is one, or `Targets`, which need none either. Gradients reach features,
    prototypes and temperature. Beside inputs and gradients it takes the memory of a few blocks of logits, each of
    views x batch x `block_size` numbers. Computed in float32, or in float64 if that is given.
    """
    expected, mass = _expectation(prototypes, teacher_probs, block_size)
    pairs = view_pairs(len(features), len(expected)).astype(expected.dtype)
    wanted = jnp.einsum("vu,ubd->vbd", pairs, expected, precision=EXACT)
    weight = jnp.einsum("vu,ub->vb", pairs, mass, precision=EXACT)
    losses = _cross_entropies(features, prototypes, wanted, weight, temperature, block_size)
    return losses.sum() / (pairs.sum() * features.shape[1])


def prototype_patch_loss(
    features: Float[Array, "views batch hidden dim"],
    prototypes: Float[Array, "prototypes dim"],
    teacher_probs: Float[Array, "views batch hidden prototypes"] | Targets,
    *,
    temperature: float | Float[Array, ""] = 0.1,
    block_size: int | None = None,
) -> Float[Array, ""]:
    """`masked_patch_loss` of images that all hide the same number of patches, from these patches alone."""
    expected, mass = _expectation(prototypes, teacher_probs, block_size)
    return _cross_entropies(features, prototypes, expected, mass, temperature, block_size).mean()


class TargetStatistics(NamedTuple):
    """Entropy of each row's probabilities, in nats, and the mean probability of each prototype."""

    entropy: Float[Array, "*rows"]
    usage: Float[Array, " prototypes"]


def target_statistics(targets: Targets, block_size: int | None = None) -> TargetStatistics:
    """How sure a teacher is, and how it uses its prototypes: what a collapse is seen by."""
    return TargetStatistics(*entropy_and_usage(targets, block_size or BLOCK))


def _cross_entropies(features, prototypes, expected, mass, temperature, block_size) -> Float[Array, "*rows"]:
    """Of each row with the target, or sum of targets, of which these are expected prototype and total probability."""
    scaled = _by_sample(island(features)) / temperature
    return mass * log_partition(scaled, island(prototypes), block_size or BLOCK) - jnp.sum(scaled * expected, axis=-1)


def _expectation(prototypes, teacher_probs, block_size) -> tuple[Float[Array, "*rows dim"], Float[Array, "*rows"]]:
    """sum_k p_ik w_k and sum_k p_ik of each row i of targets, which are not differentiated."""
    prototypes, targets = island(prototypes), lax.stop_gradient(teacher_probs)
    known = len(targets.prototypes) if isinstance(targets, Targets) else targets.shape[-1]
    if known != len(prototypes):
        raise ValueError(f"the targets are of {known} prototypes, the student has {len(prototypes)}")
    if isinstance(targets, Targets):
        return expected_prototype(prototypes, targets, block_size or BLOCK), jnp.ones_like(targets.of_rows)
    probs = _by_sample(island(targets))
    return jnp.matmul(probs, prototypes, precision=EXACT), probs.sum(axis=-1)


def _of_teacher(features, prototypes, temperature) -> tuple[Array, Array]:
    return lax.stop_gradient((_by_sample(island(features)) / temperature, island(prototypes)))


def _by_sample(x: Float[Array, "views batch *rest"]) -> Float[Array, "views batch *rest"]:
    """Spread the batch over the devices, if it divides among them: whatever follows is then divided likewise."""
    ring = current_ring()
    if ring.size == 1 or x.shape[1] % ring.size:
        return x
    return lax.with_sharding_constraint(x, PartitionSpec(None, ring.axes))
