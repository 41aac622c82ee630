"""Cross-entropy with Dice, at one scale and at several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxssl.numerics import island

SMOOTH = 1e-5


def segmentation_loss(
    logits: Float[Array, "batch y x classes"],
    labels: Int[Array, "batch y x"],
    dice_of: Literal["image", "batch"] = "image",
) -> Float[Array, ""]:
    """Half cross-entropy (mean over pixels, all classes) and half Dice loss (all classes but 0, the background).

        Dice_bc = (2 sum_yx p t + 1e-5) / (sum_yx p + sum_yx t + 1e-5),  loss = mean over b and c of 1 - Dice_bc

    with softmax probabilities p and one-hot labels t. Of each image, as in study B's public code (de Mooij et al.
    2024): every image stands alone, the loss of a batch is the mean of its images' losses, and where a class is absent
    from an image and hardly predicted its Dice is 1. But where it is predicted there its Dice is 0 however much, and
    cross-entropy alone teaches that it is absent. Of the batch, the sums are over all its images: there each wrong
    pixel costs.

    Half of two pixels are of class 1, and nothing is known of either: half of log 2 and half of 1 - 1/2.

    >>> round(float(segmentation_loss(jnp.zeros([1, 1, 2, 2]), jnp.array([[[0, 1]]]))), 4)
    0.5966
    """
    log_probabilities = jax.nn.log_softmax(island(logits))
    truth = jax.nn.one_hot(labels, logits.shape[-1], dtype=log_probabilities.dtype)
    cross_entropy = -jnp.sum(truth * log_probabilities, axis=-1).mean()
    predicted, truth = jnp.exp(log_probabilities)[..., 1:], truth[..., 1:]
    together = (1, 2) if dice_of == "image" else (0, 1, 2)
    overlap, total = jnp.sum(predicted * truth, axis=together), jnp.sum(predicted + truth, axis=together)
    dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
    return 0.5 * cross_entropy + 0.5 * (1 - dice).mean()


def downsample_labels(labels: Int[Array, "batch y x"], shape: tuple[int, int]) -> Int[Array, "batch v u"]:
    """Take for each coarse pixel the label at its centre (the lower right of the middle ones).

    >>> downsample_labels(jnp.arange(16).reshape(1, 4, 4), (2, 2)).tolist()
    [[[5, 7], [13, 15]]]
    """
    rows, columns = (
        (2 * jnp.arange(new) + 1) * old // (2 * new) for new, old in zip(shape, labels.shape[1:], strict=True)
    )
    return labels[:, rows[:, None], columns[None, :]]


def deep_supervision(
    loss: Callable[[Array, Array], Array],
    logits: Sequence[Float[Array, "batch v u classes"]],
    labels: Int[Array, "batch y x"],
) -> Float[Array, ""]:
    """Sum `loss(logits, labels)` over scales, finest first, weighted by 2^-i divided by the sum of these weights.

    Labels are taken to the size of each scale by `downsample_labels`. nnU-Net weighs its scales so (Isensee et al.
    2021).

    A loss of 3 at the finest scale and of none at the next is one of 2:

    >>> scales = [jnp.full([1, 2, 2, 1], 3.0), jnp.zeros([1, 1, 1, 1])]
    >>> float(deep_supervision(lambda logits, labels: logits.mean(), scales, jnp.zeros([1, 2, 2], int)))
    2.0
    """
    losses = jnp.stack([loss(scale, downsample_labels(labels, (scale.shape[1], scale.shape[2]))) for scale in logits])
    weights = 0.5 ** jnp.arange(len(losses), dtype=losses.dtype)
    return jnp.dot(weights, losses) / weights.sum()
