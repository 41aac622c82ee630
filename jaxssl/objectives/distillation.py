"""Learning from a teacher: what its outputs are made into, how far a student is from them, and what keeps both spread.

Each function is written as its equation reads, with whole arrays; `prototypes` has the same for very many outputs.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxssl.numerics import island
from jaxssl.objectives.contrastive import unit_rows
from jaxssl.objectives.ring import current_ring

ROWS_AT_A_TIME = 512


def regression_loss(predictions: Float[Array, "*rows dim"], targets: Float[Array, "*rows dim"]) -> Float[Array, ""]:
    """Mean over rows of 2 - 2 cos(prediction, target), BYOL's loss (Grill et al. 2020); targets are not differentiated.

    >>> float(regression_loss(jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.0, -1.0]])))
    2.0
    """
    predicted, wanted = (unit_rows(island(x).reshape(-1, x.shape[-1])) for x in (predictions, targets))
    return jnp.mean(2 - 2 * jnp.sum(predicted * lax.stop_gradient(wanted), axis=-1))


def centre_softmax(
    logits: Float[Array, "*rows outputs"],
    centre: Float[Array, " outputs"],
    temperature: float | Float[Array, ""],
) -> Float[Array, "*rows outputs"]:
    """softmax((logits - centre) / temperature): no output is preferred by all, and each row has a sharp preference.

    The teacher's outputs in DINO (Caron et al. 2021). What all rows prefer, the centre takes away:

    >>> centre_softmax(jnp.array([[5.0, 1.0], [5.0, 2.0]]), jnp.array([5.0, 1.5]), 0.04).round(3).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return jax.nn.softmax(_sharpened(island(logits) - island(centre), temperature), axis=-1)


def sinkhorn(
    logits: Float[Array, "*rows outputs"], temperature: float | Float[Array, ""], iterations: int = 3
) -> Float[Array, "*rows outputs"]:
    """Probabilities exp(logits / temperature + a_k + b_i) such that all outputs are used about equally by all rows.

    In turn a gives each output the same total and b makes each row sum to one; rows are last, so they do so exactly.
    All leading axes together are the rows, so that the views of a batch share the outputs out among them.
    Cuturi (2013); of a batch's outputs first in SwAV (Caron et al. 2020).

    Both rows prefer the first output, one of them more than the other, which gets it:

    >>> print(sinkhorn(jnp.array([[2.0, 0.0], [1.0, 0.0]]), 1.0).round(2))
    [[0.62 0.38]
     [0.38 0.62]]
    """
    check_iterations(iterations)
    scores = island(logits)
    rows = tuple(range(scores.ndim - 1))
    # Scores, a and b are kept in units of the temperature.
    of_rows, balanced = jnp.zeros_like(scores[..., :1]), scores
    for _ in range(iterations):
        balanced = scores - _log_sum(scores + of_rows, temperature, rows)
        of_rows = -_log_sum(balanced, temperature, -1)
    return jax.nn.softmax(_sharpened(balanced, temperature), axis=-1)


def check_iterations(iterations: int) -> None:
    """Refuse a balance that is never made.

    >>> check_iterations(0)
    Traceback (most recent call last):
    ValueError: Sinkhorn's balance takes at least 1 iteration, not 0
    """
    if iterations < 1:
        raise ValueError(f"Sinkhorn's balance takes at least 1 iteration, not {iterations}")


def _log_sum(x: Array, temperature: float | Array, axes: int | tuple[int, ...]) -> Array:
    """temperature * log sum exp(x / temperature) over axes, which are kept with length 1."""
    peak = x.max(axes, keepdims=True)
    return peak + temperature * jnp.log(jnp.exp((x - peak) / temperature).sum(axes, keepdims=True))


def _sharpened(logits: Float[Array, "*rows outputs"], temperature: float | Array) -> Float[Array, "*rows outputs"]:
    """(logits - the largest of their row) / temperature.

    In this order: compiled, a quotient may be rounded where its peak is found and not where this is taken from it, and
    very large logits would then exceed their peak.
    """
    return (logits - lax.stop_gradient(logits.max(axis=-1, keepdims=True))) / temperature


def dino_loss(
    student_logits: Float[Array, "views batch outputs"],
    teacher_probs: Float[Array, "teacher_views batch outputs"],
    *,
    temperature: float | Float[Array, ""] = 0.1,
) -> Float[Array, ""]:
    """Mean cross-entropy of each student view with each teacher view of the same image but its own.

        - mean over samples and pairs (v, u), u != v, of sum_k p_uk log softmax(logits_v / temperature)_k

    Teacher view u is student view u; further student views (local crops) have no teacher view. Probabilities are not
    differentiated. For very many outputs `prototype_loss` gives the same without an array of them. Caron et al. (2021).

    A student that gives two outputs the same chance, whatever the teacher is sure of, is at log 2:

    >>> round(float(dino_loss(jnp.zeros([2, 1, 2]), jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]]))), 4)
    0.6931
    """
    log_probs = jax.nn.log_softmax(_sharpened(island(student_logits), temperature), axis=-1)
    pairs = view_pairs(len(student_logits), len(teacher_probs)).astype(log_probs.dtype)
    # A sum and no dot over samples and outputs: a CPU's dot adds them one by one, and many would be 1e-4 away.
    wanted = jnp.einsum("vu,ubk->vbk", pairs, lax.stop_gradient(island(teacher_probs)), precision="highest")
    return -jnp.sum(wanted * log_probs) / (pairs.sum() * student_logits.shape[1])


def view_pairs(views: int, teacher_views: int) -> Float[Array, "views teacher_views"]:
    """1 for each student view and teacher view that are compared, 0 where both are the same view.

    >>> view_pairs(3, 2).tolist()
    [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    if views * teacher_views < 2:
        raise ValueError("one view that is student's and teacher's has nothing to be compared with; give at least two")
    return 1 - jnp.eye(views, teacher_views)


def masked_patch_loss(
    student_logits: Float[Array, "batch patches outputs"],
    teacher_probs: Float[Array, "batch patches outputs"],
    mask: Float[Array, "batch patches"],
    *,
    temperature: float | Float[Array, ""] = 0.1,
) -> Float[Array, ""]:
    """iBOT's loss: cross-entropy of what the student says of hidden patches with what the teacher, who sees them, does.

    The mean over an image's hidden patches (mask 1), then over all images; one that hides nothing counts as 0.
    Probabilities are not differentiated. Zhou et al. (2022).

    Of two patches one is hidden, and the teacher sure of it; what is said of the other does not count:

    >>> logits, sure = jnp.array([[[0.0, 0.0], [9.0, 0.0]]]), jnp.array([[[1.0, 0.0], [0.0, 1.0]]])
    >>> round(float(masked_patch_loss(logits, sure, jnp.array([[1, 0]]))), 4)
    0.6931
    """
    log_probs = jax.nn.log_softmax(_sharpened(island(student_logits), temperature), axis=-1)
    hidden = mask != 0
    losses = -jnp.sum(lax.stop_gradient(island(teacher_probs)) * log_probs, axis=-1)
    of_images = jnp.where(hidden, losses, 0).sum(axis=1) / jnp.maximum(hidden.sum(axis=1), 1)
    return of_images.mean()


def koleo_loss(embeddings: Float[Array, "rows dim"]) -> Float[Array, ""]:
    """- mean log distance of each row, on the unit sphere, to the nearest other (Sablayrolles et al. 2019; DINOv2).

    As there, 1e-8 is added to each difference and to the distance. Rows that are nearer than rounding can tell apart
    count with that distance, but have no gradient: it would be huge, and of random direction.

    Opposite rows are 2 apart, and rows at a right angle the root of 2; the loss falls as rows spread:

    >>> [round(float(koleo_loss(jnp.array([[1.0, 0.0], other]))), 2) for other in ([-1.0, 0.0], [0.0, 1.0])]
    [-0.69, -0.35]
    """
    rows = unit_rows(island(embeddings))
    difference = rows - rows[_nearest(lax.stop_gradient(rows))]
    apart = jnp.abs(difference).max(axis=-1, keepdims=True) > 2 * jnp.finfo(rows.dtype).eps
    difference = jnp.where(apart, difference, lax.stop_gradient(difference)) + 1e-8
    return -jnp.mean(jnp.log(jnp.linalg.norm(difference, axis=-1) + 1e-8))


def _nearest(rows: Float[Array, "rows dim"]) -> Array:
    """The place of each row's most similar other row; a few rows of similarities at a time, shared out over devices."""

    def of_row(everyone: Array, place: Array, row: Array) -> Array:
        similarity = jnp.matmul(everyone, row, precision=lax.Precision.HIGHEST)
        return jnp.argmax(jnp.where(jnp.arange(len(everyone)) == place, -jnp.inf, similarity))

    def of_share(everyone: Array, places: Array, share: Array) -> Array:
        return lax.map(lambda one: of_row(everyone, *one), (places, share), batch_size=ROWS_AT_A_TIME)

    return current_ring().deal(of_share, rows, jnp.arange(len(rows)), rows)[: len(rows)]
