"""Changing the intensities of a standardised image: noise, blur, contrast, brightness, gamma."""

import math
import zlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxssl.augment.options import Augment


def change_intensity(
    key: Key[Array, ""], image: Float[Array, "y x channel"], options: Augment
) -> Float[Array, "y x channel"]:
    """Noise and blur with their probabilities, then contrast, brightness and gamma; the channels share the draws.

    A change that the options make impossible is not computed.
    """
    draws = jax.random.uniform(jax.random.fold_in(key, zlib.crc32(b"intensity")), (6,), image.dtype)
    if options.noise:
        noise = jax.random.normal(jax.random.fold_in(key, zlib.crc32(b"noise")), image.shape, image.dtype)
        image = jnp.where(draws[0] < options.noise, image + options.noise_std * noise, image)
    if options.blur:
        sigma = between(options.blur_sigma, draws[2])
        radius = math.ceil(3.0 * options.blur_sigma[1])
        image = jnp.where(draws[1] < options.blur, blurred(image, sigma, radius), image)
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


def blurred(image: Float[Array, "y x channel"], sigma: Float[Array, ""], radius: int) -> Float[Array, "y x channel"]:
    """Gaussian blur of `sigma` pixels, cut off at `radius` pixels; beyond its edge the image goes on as its edge."""
    offsets = jnp.arange(-radius, radius + 1, dtype=image.dtype)
    kernel = jnp.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for axis in (0, 1):
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = jnp.pad(image, padding, mode="edge")
        windows = (
            weight * jax.lax.slice_in_dim(padded, start, start + image.shape[axis], axis=axis)
            for start, weight in enumerate(kernel)
        )
        image = sum(windows, jnp.zeros_like(image))
    return image


def gamma_curve(image: Float[Array, "y x channel"], gamma: Float[Array, ""]) -> Float[Array, "y x channel"]:
    """low + (high - low) ((x - low) / (high - low))^gamma, with each channel's own extremes, which stay in place.

    A standardised image has negative values, for which a bare power has no meaning. 1/gamma undoes gamma.
    """
    low = image.min(axis=(0, 1))
    extent = image.max(axis=(0, 1)) - low
    unit = (image - low) / jnp.where(extent > 0, extent, 1.0)
    return low + extent * unit**gamma
