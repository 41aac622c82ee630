"""Masked images on the inputs of the golden values."""

import jax
import jax.numpy as jnp
import numpy as np
from golden.rows import Loss

from jaxssl.models.positions import sine_cosine
from jaxssl.objectives import (
    keep_least,
    mae_loss,
    masked_pixel_loss,
    patch_mask,
    patches_to_pixels,
    patchify,
)

IMAGES = jnp.asarray(np.sin(0.11 * np.arange(1536)).reshape(2, 3, 16, 16).transpose(0, 2, 3, 1), jnp.float32)
PREDICTION = jnp.asarray(np.cos(0.07 * np.arange(1536)).reshape(2, 16, 48), jnp.float32)
MASK = jnp.asarray((7 * np.arange(32) % 16 < 12).reshape(2, 16), jnp.float32)

RAW = Loss(lambda prediction, images: mae_loss(prediction, images, MASK, 4, normalise=False), (PREDICTION, IMAGES))
NORMALISED = Loss(lambda prediction, images: mae_loss(prediction, images, MASK, 4), (PREDICTION, IMAGES))


def of_pictures(prediction, images):
    """The same as masked image modelling has it: on pixels instead of patches."""
    pictures = prediction.reshape(2, 4, 4, 4, 4, 3).swapaxes(2, 3).reshape(images.shape)
    return masked_pixel_loss(pictures, images, patches_to_pixels(MASK, (4, 4), 4))


OF_PICTURES = Loss(of_pictures, (PREDICTION, IMAGES))


def variance_with_ddof_0():
    """What becomes of MAE's loss with the variance that numpy and jax take unless told otherwise."""
    target = np.asarray(patchify(IMAGES, 4))
    target = (target - target.mean(-1, keepdims=True)) / np.sqrt(target.var(-1, keepdims=True) + 1e-6)
    return (((PREDICTION - target) ** 2).mean(-1) * MASK).sum() / MASK.sum()


def random_masking():
    """A quarter of 16 patches is kept, those of least noise."""
    kept, restore = jax.jit(keep_least, static_argnums=1)(jnp.asarray(7 * np.arange(16) % 16), 4)
    return {"kept": kept, "mask": restore >= 4, "ids_restore": restore}


def positions():
    """Sines and cosines of a grid of 3 x 3 with 8 channels, after a row of zeros for the class token."""
    return np.concatenate([np.zeros((1, 8)), sine_cosine(3, 3, 8, jnp.float32).reshape(9, 8)])


def hidden_cells(side, ratio):
    return jnp.sum(patch_mask(jax.random.key(0), (side, side), ratio))
