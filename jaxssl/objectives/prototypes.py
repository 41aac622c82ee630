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
from jaxssl.objectives.distillation import check_iterations, view_pairs
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

NUMBERS = 2**24
"""Scores that are held at a time where the block is not given: 64 MiB in float32."""
BOUNDS = 128, 8192
"""The fewest and the most prototypes of a block that is not given."""


def centred_targets(
    features: Float[Array, "views batch *patches dim"],
    prototypes: Float[Array, "prototypes dim"],
    centre: Float[Array, " prototypes"],
    temperature: float | Float[Array, ""],
    block_size: int | None = None,
) -> Targets:
    """`centre_softmax` of the logits <feature, prototype>; not differentiated.

    What it takes from each row is log sum_k exp((<f_i, w_k> - c_k) / T), in `of_rows`: of two prototypes alike log 2.

    >>> targets = centred_targets(jnp.ones([1, 1, 2]), jnp.eye(2), jnp.zeros(2), temperature=0.5)
    >>> (targets.of_rows - -(2 + jnp.log(2))).round(4).tolist()
    [[0.0]]
    """
    features, prototypes = _of_teacher(features, prototypes, temperature)
    of_prototypes = -lax.stop_gradient(island(centre)) / temperature
    of_rows = -log_sums(features, prototypes, of_prototypes, _block(features, block_size))
    return Targets(features, prototypes, of_prototypes, of_rows)


def sinkhorn_targets(
    features: Float[Array, "views batch *patches dim"],
    prototypes: Float[Array, "prototypes dim"],
    temperature: float | Float[Array, ""],
    iterations: int = 3,
    block_size: int | None = None,
) -> Targets:
    """`sinkhorn` of the logits <feature, prototype>, over all rows jointly; not differentiated.

    What both rows like best is shared out between them:

    >>> rows = jnp.array([[[2.0, 0.0], [1.0, 0.0]]])
    >>> target_statistics(sinkhorn_targets(rows, jnp.eye(2), temperature=1.0)).usage.round(2).tolist()
    [0.5, 0.5]
    """
    check_iterations(iterations)
    features, prototypes = _of_teacher(features, prototypes, temperature)
    of_prototypes, of_rows = jnp.zeros_like(prototypes[:, 0]), jnp.zeros_like(features[..., 0])
    block = _block(features, block_size)
    for _ in range(iterations):
        of_prototypes, of_rows = balanced(features, prototypes, of_rows, block)
    return Targets(features, prototypes, of_prototypes, of_rows)


def next_centre(
    centre: Float[Array, " prototypes"],
    features: Float[Array, "views batch *patches dim"],
    prototypes: Float[Array, "prototypes dim"],
    momentum: float,
) -> Float[Array, " prototypes"]:
    """centre <- momentum centre + (1 - momentum) mean logit, which is the logit of the mean feature.

    >>> next_centre(jnp.zeros(2), jnp.array([[[4.0, 0.0], [0.0, 2.0]]]), jnp.eye(2), 0.5).tolist()
    [1.0, 0.5]
    """
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
    views x batch x `block_size` numbers, shared out over the devices. One that is not given is chosen such that a
    device holds at most `NUMBERS` of a block, as long as that leaves it the fewest of `BOUNDS`. Computed in float32, or
    in float64 if that is given.

    A student that cannot tell two prototypes apart loses log 2 to a teacher that is sure:

    >>> sure = jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    >>> round(float(prototype_loss(jnp.zeros([2, 1, 3]), jnp.eye(2, 3), sure)), 4)
    0.6931
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
    """`masked_patch_loss` of images that all hide the same number of patches, from these patches alone.

    Its memory is that of `prototype_loss`, each patch being a row of its own.

    >>> sure = jnp.array([[[[1.0, 0.0], [0.0, 1.0]]]])
    >>> round(float(prototype_patch_loss(jnp.zeros([1, 1, 2, 3]), jnp.eye(2, 3), sure)), 4)
    0.6931
    """
    expected, mass = _expectation(prototypes, teacher_probs, block_size)
    return _cross_entropies(features, prototypes, expected, mass, temperature, block_size).mean()


class TargetStatistics(NamedTuple):
    """Entropy of each row's probabilities, in nats, and the mean probability of each prototype.

    A teacher that is sure of each row, and likes all prototypes alike:

    >>> sure = centred_targets(jnp.eye(2)[None], jnp.eye(2), jnp.zeros(2), temperature=0.01)
    >>> entropy, usage = target_statistics(sure)
    >>> entropy.round(2).tolist(), usage.round(2).tolist()
    ([[0.0, 0.0]], [0.5, 0.5])
    """

    entropy: Float[Array, "*rows"]
    usage: Float[Array, " prototypes"]


def target_statistics(targets: Targets, block_size: int | None = None) -> TargetStatistics:
    """How sure a teacher is, and how it uses its prototypes: what a collapse is seen by.

    >>> unsure = centred_targets(jnp.zeros([1, 3, 2]), jnp.eye(2), jnp.zeros(2), temperature=0.1)
    >>> round(float(target_statistics(unsure).entropy.mean()), 4)
    0.6931
    """
    return TargetStatistics(*entropy_and_usage(targets, _block(targets.features, block_size)))


def _cross_entropies(features, prototypes, expected, mass, temperature, block_size) -> Float[Array, "*rows"]:
    """Of each row with the target, or sum of targets, of which these are expected prototype and total probability."""
    scaled = _by_sample(island(features)) / temperature
    log_sums_of_rows = log_partition(scaled, island(prototypes), _block(scaled, block_size))
    return mass * log_sums_of_rows - jnp.sum(scaled * expected, axis=-1)


def _expectation(prototypes, teacher_probs, block_size) -> tuple[Float[Array, "*rows dim"], Float[Array, "*rows"]]:
    """sum_k p_ik w_k and sum_k p_ik of each row i of targets, which are not differentiated."""
    prototypes, targets = island(prototypes), lax.stop_gradient(teacher_probs)
    known = len(targets.prototypes) if isinstance(targets, Targets) else targets.shape[-1]
    if known != len(prototypes):
        raise ValueError(f"the targets are of {known} prototypes, the student has {len(prototypes)}")
    if isinstance(targets, Targets):
        expected = expected_prototype(prototypes, targets, _block(targets.features, block_size))
        return expected, jnp.ones_like(targets.of_rows)
    probs = _by_sample(island(targets))
    return jnp.matmul(probs, prototypes, precision=EXACT), probs.sum(axis=-1)


def _of_teacher(features, prototypes, temperature) -> tuple[Array, Array]:
    return lax.stop_gradient((_by_sample(island(features)) / temperature, island(prototypes)))


def _block(features: Float[Array, "views batch *rest"], given: int | None) -> int:
    """The block that is given, or else the power of two whose scores with one device's rows are at most `NUMBERS`.

    A power of two as the numbers of prototypes are: they then need no padding.
    """
    if given is not None:
        if given < 1:
            raise ValueError(f"block_size is a number of prototypes of at least 1, not {given}")
        return given
    rows = features[..., 0].size // (current_ring().size if _divides(features) else 1)
    fewest, most = BOUNDS
    block = fewest
    while 2 * block <= most and 2 * block * rows <= NUMBERS:
        block *= 2
    return block


def _by_sample(x: Float[Array, "views batch *rest"]) -> Float[Array, "views batch *rest"]:
    """Spread the batch over the devices, if it divides among them: whatever follows is then divided likewise."""
    if not _divides(x):
        return x
    return lax.with_sharding_constraint(x, PartitionSpec(None, current_ring().axes))


def _divides(x: Float[Array, "views batch *rest"]) -> bool:
    """Whether there are several devices, and the batch divides among them."""
    size = current_ring().size
    return size > 1 and x.shape[1] % size == 0
