"""Linear layers from an encoder's pooled map to the representation that a study compares and hands on."""

from typing import Any

import jax
from flax import linen as nn
from jaxtyping import Array, Float

from jaxssl.models.norm import parameter_type
from jaxssl.numerics import island


class Representation(nn.Module):
    """Layers of these widths, a ReLU between them and none after the last; without widths the pooled map itself."""

    widths: tuple[int, ...]
    dtype: Any

    @nn.compact
    def __call__(self, pooled: Float[Array, "batch dim"]) -> Float[Array, "batch out"]:
        """Map [B, d] to [B, widths[-1]], in at least float32."""
        x: jax.Array = pooled
        for index, width in enumerate(self.widths):
            x = nn.relu(x) if index else x
            x = nn.Dense(
                width,
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                param_dtype=parameter_type(self.dtype),
                name=f"layer{index}",
            )(x)
        return island(x)
