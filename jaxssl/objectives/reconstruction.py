"""Losses on what a mask hides. In every mask 1 means hidden."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxssl.numerics import island
from jaxssl.objectives.patches import Side, patchify


def masked_pixel_loss(
    prediction: Float[Array, "*batch y x channel"],
    target: Float[Array, "*batch y x channel"],
    mask: Array,
    error: Literal["l2", "l1"] = "l2",
) -> Float[Array, ""]:
    """Mean squared (l2) or absolute (l1, SimMIM's) error over hidden pixels.

    The mean is over all channels of all hidden pixels of all images together, so an image counts by the pixels it
    hides; it is 0 where nothing is hidden. `mask` has the images' shape, or lacks its channel axis.

    >>> image, hidden = jnp.array([[[[3.0], [5.0]]]]), jnp.array([[[1, 0]]])
    >>> [float(masked_pixel_loss(jnp.zeros_like(image), image, hidden, error)) for error in ("l2", "l1")]
    [9.0, 3.0]
    """
    if mask.ndim == prediction.ndim - 1:
        mask = mask[..., None]
    hidden = jnp.broadcast_to(mask != 0, prediction.shape)
    # Chosen by `where`, not by a product: what the network says of visible pixels is nothing to the loss, even if nan.
    difference = jnp.where(hidden, island(prediction) - island(target), 0)
    each = difference**2 if error == "l2" else jnp.abs(difference)
    return jnp.sum(each) / jnp.maximum(hidden.sum(), 1)


def mae_loss(
    prediction: Float[Array, "batch patches values"],
    images: Float[Array, "batch y x channel"],
    mask: Float[Array, "batch patches"],
    patch: Side,
    normalise: bool = True,
) -> Float[Array, ""]:
    """Mean squared error over hidden patches, of each patch's values normalised to mean 0 and variance 1 if asked.

    The variance is the unbiased one (ddof 1), as in the published MAE (He et al. 2022); 1e-6 is added to it.

    Whoever says no more than the mean of a patch of n values is at (n - 1) / n, however bright the image:

    >>> images = 100 * jnp.arange(4.0).reshape(1, 2, 2, 1)
    >>> round(float(mae_loss(jnp.zeros([1, 1, 4]), images, jnp.ones([1, 1]), patch=2)), 4)
    0.75
    """
    target = patchify(island(images), patch)
    if normalise:
        mean, deviation = _moments(target)
        target = (target - mean) / deviation
    return masked_pixel_loss(prediction, target, mask)


def in_units_of(
    values: Float[Array, "batch patches values"], images: Float[Array, "batch y x channel"], patch: Side
) -> Float[Array, "batch patches values"]:
    """Values predicted of normalised patches as those of the patches themselves, to look at.

    >>> in_units_of(jnp.zeros([1, 1, 4]), jnp.arange(4.0).reshape(1, 2, 2, 1), patch=2).tolist()
    [[[1.5, 1.5, 1.5, 1.5]]]
    """
    mean, deviation = _moments(patchify(island(images), patch))
    return island(values) * deviation + mean


def _moments(patches: Float[Array, "batch patches values"]) -> tuple[Array, Array]:
    """Mean and standard deviation of each patch."""
    return patches.mean(-1, keepdims=True), jnp.sqrt(patches.var(-1, keepdims=True, ddof=1) + 1e-6)
