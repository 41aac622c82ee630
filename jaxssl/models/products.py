"""Linear maps of the channels at each place, in the form that XLA compiles best for the device that is traced for.

On a CPU all places of all samples are the rows of one matrix: the gradient of the kernel is a product of two matrices
then as well. Of more axes the compiler would transpose and copy the larger operand first, and of a convolution of one
pixel it would make a convolution as wide as the image, at a fraction of the speed.
"""

import math
from typing import Any

import jax
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxssl.models.device import traced_for


def on_cpu() -> bool:
    """Whether it is a CPU that is traced for."""
    return traced_for()[0] == "cpu"


def along_channels(
    x: Float[Array, "*place channel"], kernel: Float[Array, "channel *out"], precision: lax.PrecisionLike = None
) -> jax.Array:
    """sum_c x[..., c] kernel[c, ...]: [*place, *out]."""
    if not on_cpu():
        return lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())), precision=precision)
    channels, *out = kernel.shape
    product = lax.dot(x.reshape(-1, channels), kernel.reshape(channels, math.prod(out)), precision=precision)
    return product.reshape(*x.shape[:-1], *out)


def dense_product(
    x: Float[Array, "*place channel"],
    kernel: Float[Array, "channel out"],
    dimensions: lax.DotDimensionNumbers,
    precision: lax.PrecisionLike = None,
) -> Float[Array, "*place out"]:
    """`along_channels` as `nn.Dense` asks for a product."""
    assert dimensions == (((x.ndim - 1,), (0,)), ((), ()))  # noqa: S101
    return along_channels(x, kernel, precision)


def convolve(x: jax.Array, kernel: jax.Array, strides: Any, *padding: Any, **options: Any) -> jax.Array:
    """`lax.conv_general_dilated` as `nn.Conv` asks for it; on a CPU one of 1 x 1 pixels is `along_channels`."""
    if not on_cpu() or not _of_one_pixel(x, kernel, *padding, **options):
        return lax.conv_general_dilated(x, kernel, strides, *padding, **options)
    met = lax.slice(x, (0,) * x.ndim, x.shape, (1, *strides, 1))
    return along_channels(met, kernel[0, 0], options["precision"])


def _of_one_pixel(x: jax.Array, kernel: jax.Array, padding: Any, *, lhs_dilation: Any = None, **_: Any) -> bool:
    """Whether each pixel that is met gives one, of all of its channels."""
    unpadded = padding in ("SAME", "VALID") or not np.any(padding)
    undilated = lhs_dilation is None or set(lhs_dilation) == {1}
    return kernel.shape[:3] == (1, 1, x.shape[-1]) and unpadded and undilated
