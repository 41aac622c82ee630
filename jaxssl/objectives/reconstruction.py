"""Masks over patches, and losses on what they hide. In every mask 1 means hidden."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxssl.numerics import island


def patch_mask(key: PRNGKeyArray, grid: tuple[int, int], ratio: float) -> Float[Array, " patches"]:
    """Hide exactly round(ratio * patches) of the patches of a grid (rows, columns), all choices equally likely."""
    patches = grid[0] * grid[1]
    return jax.random.permutation(key, (jnp.arange(patches) < round(ratio * patches)).astype(jnp.float32))


def patches_to_pixels(
    mask: Float[Array, "*batch patches"], grid: tuple[int, int], patch: int
) -> Float[Array, "*batch y x"]:
    """Spread a mask over a grid of patches onto the patch x patch pixels of each."""
    return mask.reshape(*mask.shape[:-1], *grid).repeat(patch, axis=-2).repeat(patch, axis=-1)


def masked_pixel_loss(
    prediction: Float[Array, "*batch y x channel"], target: Float[Array, "*batch y x channel"], mask: Array
) -> Float[Array, ""]:
    """Mean squared error over hidden pixels.

    The mean is over all channels of all hidden pixels of all images together, so an image counts by the pixels it
    hides; it is 0 where nothing is hidden. `mask` has the images' shape, or lacks its channel axis.
    """
    if mask.ndim == prediction.ndim - 1:
        mask = mask[..., None]
    hidden = jnp.broadcast_to(mask != 0, prediction.shape)
    # Chosen by `where`, not by a product: what the network says of visible pixels is nothing to the loss, even if nan.
    error = jnp.where(hidden, island(prediction) - island(target), 0)
    return jnp.sum(error**2) / jnp.maximum(hidden.sum(), 1)


def patchify(images: Float[Array, "batch y x channel"], patch: int) -> Float[Array, "batch patches values"]:
    """Cut images into square patches, row by row; the values of one run over y, then x, then channel."""
    batch, height, width, channels = images.shape
    if height % patch or width % patch:
        raise ValueError(f"images of {height} x {width} pixels do not divide into patches of {patch}")
    tiles = images.reshape(batch, height // patch, patch, width // patch, patch, channels).swapaxes(2, 3)
    return tiles.reshape(batch, -1, patch * patch * channels)


def mae_loss(
    prediction: Float[Array, "batch patches values"],
    images: Float[Array, "batch y x channel"],
    mask: Float[Array, "batch patches"],
    patch: int,
    normalise: bool = True,
) -> Float[Array, ""]:
    """Mean squared error over hidden patches, of each patch's values normalised to mean 0 and variance 1 if asked.

    The variance is the unbiased one (ddof 1), as in the published MAE; 1e-6 is added to it.
    """
    target = patchify(island(images), patch)
    if normalise:
        centred = target - target.mean(-1, keepdims=True)
        target = centred / jnp.sqrt(target.var(-1, keepdims=True, ddof=1) + 1e-6)
    return masked_pixel_loss(prediction, target, mask)
