"""The contrastive loss on the inputs of the golden values, and the definitions of others that are not ours."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from golden.rows import Loss, made

from jaxssl.objectives import contrastive_loss, near_position, same_instance, same_label

VIEWS = made(4, 8, 0), made(4, 8, 1)
LABELS = jnp.array([0, 0, 1, 2])
POSITIONS = jnp.array([0.0, 0.2, 0.5, 0.9])


def of_views(rule, values, temperature):
    """The loss of two views as a function of both; `values`, one a sample, make the rule of both."""
    positives = rule(jnp.tile(values, 2))
    return lambda z0, z1: contrastive_loss(jnp.concatenate([z0, z1]), positives, temperature=temperature)[0]


NT_XENT = {temperature: Loss(of_views(same_instance, jnp.arange(4), temperature), VIEWS) for temperature in (0.1, 0.5)}
SAME_LABEL = Loss(of_views(same_label, LABELS, 0.1), VIEWS)
CLOSE = Loss(of_views(lambda positions: near_position(positions, 0.35), POSITIONS, 0.1), VIEWS)
ONE_VIEW = Loss(
    lambda z: contrastive_loss(z, same_label(jnp.array([0, 1, 1, 3])), temperature=0.8)[0], (made(4, 8, 0.3),)
)


def both_ways(z0, z1):
    """CLIP: each view's rows find their partners among the other's, and both directions count alike."""
    pairs = same_instance(jnp.arange(4), jnp.arange(4))
    return sum(contrastive_loss(x, pairs, candidates=y, temperature=0.1)[0] for x, y in ((z0, z1), (z1, z0))) / 2


CLIP = Loss(both_ways, VIEWS)

# MONAI's own cases. Beside a row of zeros, which has no direction, the loss has no slope.
ONE_PAIR = [[1, 1, 0, 0]], [[1, 1, 0, 0]]
TWO_ALIKE = [[1, 1, 0, 0]] * 2, [[1, 1, 0, 0]] * 2
ZERO_ROW = [[1, 2, 3, 4], [1, 1, 0, 0]], [[0, 0, 0, 0], [1, 1, 0, 0]]


def monai(z0, z1):
    loss = of_views(same_instance, jnp.arange(len(z0)), 0.5)
    return jax.jit(loss)(jnp.asarray(z0, jnp.float32), jnp.asarray(z1, jnp.float32))


ALIKE = Loss(NT_XENT[0.1].function, (jnp.ones((4, 8)), jnp.ones((4, 8))))


def with_a_bank(z0, z1, bank=6):
    """A queue of negatives, all alike: an anchor sees its partner and the bank, and no other row of the batch."""
    ids, nobody = jnp.arange(4), jnp.full(bank, -1)
    loss, _ = contrastive_loss(
        z0,
        same_instance(ids, jnp.concatenate([ids, nobody])),
        negatives=same_instance(jnp.full(4, -1), jnp.concatenate([ids, nobody])),
        candidates=jnp.concatenate([z1, jnp.ones((bank, 8))]),
    )
    return loss


ALIKE_WITH_A_BANK = Loss(with_a_bank, ALIKE.inputs)


def weights_after_ten_steps():
    """A linear layer trained by SGD at .1 on the whole set, the second view being no output of it."""
    x, y = jnp.arange(80.0).reshape(8, 2, 5), jnp.arange(32.0).reshape(8, 4)
    loss = of_views(same_instance, jnp.arange(8), 0.5)
    gradient = jax.jit(jax.grad(lambda weights: loss((x @ weights.T).reshape(8, 4), y)))
    weights = jnp.linspace(0.1, 1.0, 10).reshape(2, 5)
    for _ in range(10):
        weights -= 0.1 * gradient(weights)
    return weights


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def logarithm_of_the_sum():
    """solo-learn: - mean log [sum over positives / sum over all]."""
    rows, labels = unit(np.concatenate(VIEWS)), np.tile(LABELS, 2)
    similar = np.exp(rows @ rows.T / 0.1) * ~np.eye(8, dtype=bool)
    return -np.log((similar * (labels[:, None] == labels)).sum(1) / similar.sum(1)).mean()


def each_positive_against_negatives():
    """optax: a positive's logarithm is over itself and the negatives, without the other positives."""
    return optax.losses.ntxent(jnp.concatenate(VIEWS), jnp.tile(LABELS, 2), 0.1)


def sigmoid_of_each_pair():
    """SigLIP: every pair is a yes or no of its own, with a bias."""
    logits = 10 * unit(np.asarray(VIEWS[0])) @ unit(np.asarray(VIEWS[1])).T - 10
    return np.log1p(np.exp(-(2 * np.eye(4) - 1) * logits)).sum() / 4
