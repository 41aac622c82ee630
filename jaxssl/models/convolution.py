"""What residual and dense networks share: convolutions without bias, and how an image enters."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxssl.models.norm import Norm, parameter_type
from jaxssl.models.products import convolve


def convolution(width: int, side: int, stride: int, dtype: Any, name: str) -> nn.Conv:
    """A convolution of `side` x `side` pixels without bias, for where a normalisation follows.

    Both ends of an axis are padded alike, whatever its length. Flax's "SAME" pads less at the start than at the end
    where it halves, and weights trained with equal padding would see every image moved.
    """
    return nn.Conv(
        width,
        (side, side),
        strides=stride,
        padding=side // 2,
        use_bias=False,
        kernel_init=nn.initializers.he_normal(),
        dtype=dtype,
        param_dtype=parameter_type(dtype),
        conv_general_dilated=convolve,
        name=name,
    )


def stem(
    images: Float[Array, "batch height width channel"], width: int, norm: Norm, rows: int, dtype: Any, train: bool
) -> Float[Array, "batch h w c"]:
    """Images halved by a 7 x 7 convolution, normalised and rectified: layers `stem` and `stem_norm` of the caller."""
    x = convolution(width, 7, 2, dtype, name="stem")(images.astype(dtype))
    return nn.relu(norm.layer(rows, dtype, name="stem_norm")(x, train))


def halved(x: Float[Array, "batch height width channel"]) -> Float[Array, "batch h w channel"]:
    """The largest of each 3 x 3 pixels, every second one; what lies outside the image is never the largest."""
    edges = ((0, 0), (1, 1), (1, 1), (0, 0))
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), edges)
