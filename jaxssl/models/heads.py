"""Small networks on top of an embedding or of a decoder's maps: what is not handed on to another task."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxssl.errors import UserError
from jaxssl.models.norm import Norm, parameter_type
from jaxssl.models.products import convolve


class Projector(nn.Module):
    """Linear layers of these widths with an activation between them (study B: 512, 512 on 512, no normalisation).

    With `norm` each activation takes what normalisation gives it; batch normalisation works over groups of `rows` rows,
    and the layer before has no bias, which the mean would take away again. `activation` is the name of a function in
    flax.linen, `bias` says whether the last layer has one.
    """

    widths: tuple[int, ...] = (512, 512)
    activation: str = "relu"
    norm: Norm | None = None
    rows: int = 1
    bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, embedding: Float[Array, "batch dim"], train: bool) -> Float[Array, "batch out"]:
        """Project [B, d] to [B, widths[-1]] in the compute type."""
        x, last = embedding, len(self.widths) - 1
        for index, width in enumerate(self.widths):
            x = nn.Dense(
                width,
                use_bias=self.bias if index == last else not (self.norm and self.norm.takes_bias_away),
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                param_dtype=parameter_type(self.dtype),
                name=f"layer{index}",
            )(x)
            if index < last:
                if self.norm is not None:
                    x = self.norm.layer(self.rows, self.dtype, name=f"norm{index}")(x, train)
                x = getattr(nn, self.activation)(x)
        return x


class PixelHeads(nn.Module):
    """A 1x1 convolution to the outputs at each of the finest `scales` maps of a decoder."""

    outputs: int
    scales: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, maps: tuple[jax.Array, ...], train: bool) -> tuple[jax.Array, ...]:
        """Give maps [B, h, w, outputs], finest first."""
        del train
        if self.scales > len(maps):
            raise UserError(f"{self.scales} scales were asked for of a decoder that has {len(maps)}; ask for less.")
        return tuple(
            nn.Conv(
                self.outputs,
                (1, 1),
                dtype=self.dtype,
                param_dtype=parameter_type(self.dtype),
                conv_general_dilated=convolve,
                name=f"scale{scale}",
            )(maps[scale])
            for scale in range(self.scales)
        )
