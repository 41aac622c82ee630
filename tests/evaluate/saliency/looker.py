"""Classifiers whose arithmetic is written out beside them: what tests of maps look into."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxssl.methods import parts
from jaxssl.methods.base import Method

SIZE = (12, 8)
CHANNELS = 3
CLASSES = 3


def method_of(maps, logits, **others) -> Method:
    """A classifier of these two functions, which is never trained."""
    unused: Any = None
    return Method(
        **dict.fromkeys(("views", "init", "forward", "objective", "update", "parts"), unused),
        predict=lambda variables, batch: jax.nn.softmax(logits(variables, maps(variables, batch))),
        maps=maps,
        logits=logits,
        **others,
    )


def standardised(batch, partners):
    """[batch, image, y, x, channel]"""
    return jnp.stack([parts.standardised(each) for each in (batch, *(batch["partners"][kind] for kind in partners))], 1)


@functools.cache
def convolutional(partners=()) -> Method:
    """A convolution, a ReLU, means over 2x2 pixels; a linear layer on the pooled maps of all images of a sample."""

    def maps(variables, batch):
        images = standardised(batch, partners)
        rows = images.reshape(-1, *images.shape[2:])
        x = lax.conv_general_dilated(
            rows, variables["kernel"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jnp.maximum(x, 0)
        x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).mean((2, 4))
        return x.reshape(*images.shape[:2], *x.shape[1:])

    def logits(variables, maps):
        return jnp.square(maps).mean((2, 3)).reshape(len(maps), -1) @ variables["linear"]

    return method_of(maps, logits)


@functools.cache
def linear(partners=()) -> Method:
    """Logits that are sums over pixels; the maps are the images."""

    def maps(variables, batch):
        del variables
        return standardised(batch, partners)

    def logits(variables, maps):
        return jnp.einsum("niyxc,iyxck->nk", maps, variables["weights"])

    return method_of(maps, logits)


def variables_of(images=1, seed=0, dtype: Any = np.float32) -> dict[str, Any]:
    """Of either network, so scaled that no class is certain."""
    random = np.random.default_rng(seed)
    scales = {
        "kernel": (0.3, (3, 3, CHANNELS, 4)),
        "linear": (0.3, (4 * images, CLASSES)),
        "weights": (0.03, (images, *SIZE, CHANNELS, CLASSES)),
    }
    return {name: random.normal(0, scale, shape).astype(dtype) for name, (scale, shape) in scales.items()}


def batch_of(count=5, partners=(), seed=0, dtype: Any = np.float32, size=SIZE) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    batch: dict[str, Any] = {
        "image": random.integers(10, 1000, (count, *size, CHANNELS)).astype(np.uint16),
        "mean": random.uniform(300, 500, count).astype(dtype),
        "std": random.uniform(100, 300, count).astype(dtype),
    }
    if partners:
        batch["partners"] = {kind: batch_of(count, (), seed + n, dtype, size) for n, kind in enumerate(partners, 1)}
    return batch
