"""Cross-entropy of classes that may be unknown, and weighed."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxssl.numerics import island


def classification_loss(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"], weights: Float[Array, " classes"]
) -> Float[Array, ""]:
    """Mean cross-entropy over the samples whose label is known (-1 is unknown), each weighed by its class.

        loss = sum_i w_y(i) (-log softmax(z_i)_y(i)) / sum_i w_y(i)

    0 where no sample counts. `logits` are no probabilities: the softmax is taken here, and once.

    Undecided between two classes is log 2, and the sample of no known label counts for nothing:

    >>> loss = classification_loss(jnp.array([[0.0, 0.0], [0.0, 9.0]]), jnp.array([0, -1]), weights=jnp.ones(2))
    >>> round(float(loss), 4)
    0.6931
    """
    chosen = jax.nn.one_hot(labels, logits.shape[-1], dtype=island(logits).dtype)  # none of -1
    weight = chosen @ weights.astype(chosen.dtype)
    losses = -jnp.sum(chosen * jax.nn.log_softmax(island(logits)), axis=-1)
    total = weight.sum()
    return jnp.where(total > 0, jnp.dot(weight, losses) / jnp.where(total > 0, total, 1), 0)


def inverse_frequency(counts: Int[np.ndarray, " classes"]) -> Float[np.ndarray, " classes"]:
    """w_c = n / (k n_c) for classes of n_c members, n in all k that have any; 0 for those that have none.

    The mean weight of a member is 1. What scikit-learn calls balanced, after King and Zeng (2001).

    >>> inverse_frequency(np.array([20, 10, 0])).tolist()
    [0.75, 1.5, 0.0]
    """
    counts = np.asarray(counts)
    return np.divide(counts.sum(), np.sum(counts > 0) * counts, out=np.zeros(len(counts)), where=counts > 0)
