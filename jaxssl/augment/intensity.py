"""Changing the intensities of a standardised image: noise, blur, contrast, brightness, gamma."""

import zlib

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from jaxssl.augment.options import Augment


def change_intensity(
    key: Key[Array, ""], image: Float[Array, "y x channel"], options: Augment
) -> Float[Array, "y x channel"]:
    """Noise and blur with their probabilities, then contrast, brightness and gamma; the channels share the draws.

    A change that the options make impossible is not computed, nor, sample by sample, noise or blur that is not drawn.
    """
    draws = jax.random.uniform(jax.random.fold_in(key, zlib.crc32(b"intensity")), (6,), image.dtype)

    def noisy(image: jax.Array) -> jax.Array:
        own = jax.random.fold_in(key, zlib.crc32(b"noise"))
        return image + options.noise_std * jax.random.normal(own, image.shape, image.dtype)

    def blurry(image: jax.Array) -> jax.Array:
        return blurred(image, between(options.blur_sigma, draws[2]))

    for change, chance, draw in ((noisy, options.noise, draws[0]), (blurry, options.blur, draws[1])):
        if chance:
            image = lax.cond(draw < chance, change, lambda image: image, image)
    if options.contrast != (1.0, 1.0):
        image = image * between(options.contrast, draws[3])
    if options.brightness:
        image = image + between((-options.brightness, options.brightness), draws[4])
    if options.gamma != (1.0, 1.0):
        image = gamma_curve(image, between(options.gamma, draws[5]))
    return image


def between(ends: tuple[float, float], draw: Float[Array, ""]) -> Float[Array, ""]:
    """The number that lies at `draw` (0 to 1) between the two ends."""
    return ends[0] + draw * (ends[1] - ends[0])


def blurred(image: Float[Array, "y x channel"], sigma: Float[Array, ""]) -> Float[Array, "y x channel"]:
    """Gaussian blur of `sigma` pixels; near the edge the weights that lie inside are made to sum to one.

    Two matrix products, because XLA on CPU makes a sum of shifted images by computing the image anew for every shift.
    """
    rows, columns = (smoothing_matrix(size, sigma) for size in image.shape[:2])
    return jnp.einsum("ij,jkc,lk->ilc", rows, image, columns, precision="highest")


def smoothing_matrix(size: int, sigma: Float[Array, ""]) -> Float[Array, "size size"]:
    """Weights exp(-(i - j)^2 / (2 sigma^2)), each row summing to one; the identity for sigma 0."""
    distance = jnp.arange(size, dtype=sigma.dtype)
    weights = jnp.where(distance == 0, 1.0, jnp.exp(-0.5 * (distance / jnp.maximum(sigma, 1e-6)) ** 2))
    place = jnp.arange(size)
    matrix = weights[jnp.abs(place[:, None] - place)]
    return matrix / matrix.sum(axis=1, keepdims=True)


def gamma_curve(image: Float[Array, "y x channel"], gamma: Float[Array, ""]) -> Float[Array, "y x channel"]:
    """low + (high - low) ((x - low) / (high - low))^gamma, with each channel's own extremes, which stay in place.

    A standardised image has negative values, for which a bare power has no meaning. 1/gamma undoes gamma.
    """
    low = image.min(axis=(0, 1))
    extent = image.max(axis=(0, 1)) - low
    # A compiler that computes the image once more, rounded otherwise, may find it below its own least value.
    unit = jnp.maximum(image - low, 0) / jnp.where(extent > 0, extent, 1.0)
    return low + extent * unit**gamma
