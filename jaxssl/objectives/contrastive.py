"""One contrastive loss; what differs between methods is which candidates are positives and which are negatives."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxssl.numerics import island
from jaxssl.objectives.ring import current_ring
from jaxssl.objectives.rules import Rule
from jaxssl.objectives.sweep import Rules
from jaxssl.objectives.tiles import row_statistics

# On CPU blocks of 256 to 1,024 rows differ by a fifth at most; powers of two were the slower ones.
BLOCK = 640


def unit_rows(x: Float[Array, "rows dim"]) -> Float[Array, "rows dim"]:
    """Divide each row by its length, whatever its scale; a row of zeros stays zero with a finite gradient.

    >>> unit_rows(jnp.array([[0.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    # Length is proportional to this scale, so dividing by it first changes nothing but keeps squares from overflowing.
    peak = lax.stop_gradient(jnp.abs(x).max(axis=1, keepdims=True))
    x = x / jnp.where(peak > 0, peak, 1)
    square = jnp.sum(x * x, axis=1, keepdims=True)
    return x * lax.rsqrt(jnp.where(square > 0, square, 1))


def contrastive_loss(
    anchors: Float[Array, "anchors dim"],
    positives: Rule,
    *,
    candidates: Float[Array, "candidates dim"] | None = None,
    negatives: Rule | None = None,
    temperature: float | Float[Array, ""] = 0.1,
    block_size: int | None = None,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Pull anchors towards their positives among the candidates, and away from the other candidates.

        l_i = -1/#P(i) sum_{p in P(i)} [ s_ip / T - log sum_{k in P(i) or N(i)} exp(s_ik / T) ]

    with s_ik the cosine similarity of anchor i and candidate k. The loss is the mean of l_i over the anchors that have
    a positive; the others are counted. With none at all it is 0, and so is its gradient.

    The candidates of NT-Xent, PCL and AWCL are the anchors themselves (`candidates=None`, then k != i always), those of
    MoCo its keys and its queue. `positives` and `negatives` (None: every candidate) are rules: `same_instance`,
    `near_position`, `same_label`, `same_subject`, combined with `|`, `&` and `~`. Positives are always in the sum over
    k, whatever `negatives` says of them.

    Other definitions go by the name of SupCon and differ where an anchor has several positives: solo-learn takes
    -log [sum over positives / sum over all], optax's `ntxent` contrasts each positive with the negatives only. The loss
    above is L_out of Khosla et al. (2020) without two habits of its public code: the factor T / base temperature, and
    counting anchors without positives as zeros in the mean.

    Never holds a rows x rows matrix, only tiles of at most `block_size` by `block_size`; large ones suit accelerators.
    Gradients reach anchors, candidates and temperature. Computed in float32, or in float64 if that is given.

    Under `jax.set_mesh` the n devices of the mesh, over all of its axes, share the work evenly. Loss and gradient take
    temporary memory of about 7 N/n rows and three tiles on each (N: anchors or candidates, whichever are more). For
    rows of 128 numbers and the usual block that is up to 1.8 N * block / n numbers.

    Returns the loss, and a dict of `anchors_without_positives` (their number) and `positive_similarity` (mean s_ip).

    Two views each of two images, equal within an image and at a right angle across, give log(e + 2) - 1 at T = 1. A
    view without a partner only repels, and is counted:

    >>> from jaxssl.objectives.rules import same_instance
    >>> views = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> loss, _ = contrastive_loss(views, same_instance([0, 0, 1, 1]), temperature=1.0)
    >>> round(float(loss), 4)
    0.5514
    >>> _, statistics = contrastive_loss(views, same_instance([0, 0, 1, 2]))
    >>> int(statistics["anchors_without_positives"])
    2
    """
    if candidates is not None and candidates.shape[1:] != anchors.shape[1:]:
        raise ValueError(f"anchors {anchors.shape} and candidates {candidates.shape} must have the same last axis")
    for rule in (positives,) if negatives is None else (positives, negatives):
        rule.check(anchors.shape[0], None if candidates is None else candidates.shape[0])

    rows = unit_rows(island(anchors))
    # Half of 1/T goes to either side, so that symmetric logits stay symmetric and autodiff finds the gradient of T.
    sharpness = lax.rsqrt(jnp.asarray(temperature, rows.dtype))
    others = None if candidates is None else unit_rows(island(candidates)).astype(rows.dtype) * sharpness
    rules = Rules(positives, negatives)
    statistics = row_statistics(rows * sharpness, others, rules, block_size or BLOCK, current_ring())

    has_positives = statistics.positive_count > 0
    used = jnp.maximum(has_positives.sum(), 1)
    positive_mean = statistics.positive_sum / jnp.maximum(statistics.positive_count, 1)
    loss = jnp.where(has_positives, statistics.log_sum - positive_mean, 0).sum() / used
    similarity = lax.stop_gradient(positive_mean.sum() / used * temperature)
    return loss, {"anchors_without_positives": jnp.sum(~has_positives), "positive_similarity": similarity}
