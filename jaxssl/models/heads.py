"""Small networks on top of an embedding."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxssl.models.norm import parameter_type


class Projector(nn.Module):
    """Linear layers of these widths with ReLU between them and no normalisation (study B: 512, 512 on 512)."""

    widths: tuple[int, ...] = (512, 512)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, embedding: Float[Array, "batch dim"]) -> Float[Array, "batch out"]:
        """Project [B, d] to [B, widths[-1]] in the compute type."""
        x = embedding
        for index, width in enumerate(self.widths):
            x = nn.relu(x) if index else x
            x = nn.Dense(
                width,
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                param_dtype=parameter_type(self.dtype),
                name=f"layer{index}",
            )(x)
        return x
