"""The decoder of a masked autoencoder (He et al. 2022): a light transformer that is thrown away with the pretext."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxssl.errors import UserError
from jaxssl.models.features import Features
from jaxssl.models.norm import parameter_type
from jaxssl.models.positions import sine_cosine
from jaxssl.models.transformer import SMALL_NORMAL, layer_norm, linear, run_blocks


@dataclass(frozen=True)
class Light:
    """Sizes of the decoder; the defaults are the published ones, 25.90 M parameters after a ViT-B/16 in colour."""

    width: int = 512
    depth: int = 8
    heads: int = 16
    mlp_ratio: float = 4.0

    def check(self) -> None:
        """Refuse values that make no network, with a UserError that names the option."""
        if min(self.width, self.depth, self.heads) < 1 or self.mlp_ratio <= 0:
            raise UserError("method.decoder: width, depth and heads must be at least 1, and mlp_ratio above 0.")
        if self.width % 4 or self.width % self.heads:
            raise UserError(
                f"method.decoder.width {self.width} must be divisible by 4, for its positions, and by its heads, "
                f"{self.heads}; choose another."
            )


class Decoder(nn.Module):
    """Tokens of the visible patches to the pixel values of all of them.

    A learnt token stands for each hidden patch; fixed sines and cosines say where a patch lies. The class token goes
    along if the embedding is one.
    """

    options: Light
    grid: tuple[int, int]
    values: int
    """Numbers of one patch: its pixels times the channels."""
    has_class: bool
    remat: bool
    scan: bool
    dtype: Any

    @nn.compact
    def __call__(
        self, features: Features, restore: Int[Array, "batch patches"], train: bool
    ) -> Float[Array, "batch patches values"]:
        """Give the values of each patch; patch p is at `restore[p]` among the visible ones and then the hidden ones."""
        del train
        options, wide = self.options, parameter_type(self.dtype)
        (batch, patches), visible = restore.shape, features.maps[-1]
        tokens = visible.reshape(batch, -1, visible.shape[-1])
        seen = tokens.shape[1]
        if self.has_class:
            tokens = jnp.concatenate([tokens, features.embedding.astype(tokens.dtype)[:, None]], axis=1)
        tokens = linear(options.width, self.dtype, name="embed")(tokens)
        stand_in = self.param("mask_token", SMALL_NORMAL, (options.width,), wide).astype(self.dtype)
        hidden = jnp.broadcast_to(stand_in, (batch, patches - seen, options.width))
        x = jnp.concatenate([tokens[:, :seen], hidden], axis=1)
        x = jnp.take_along_axis(x, restore[..., None], axis=1)
        x = x + sine_cosine(*self.grid, options.width, self.dtype).reshape(-1, options.width)
        x, _ = run_blocks(
            jnp.concatenate([tokens[:, seen:], x], axis=1),
            None,
            depth=options.depth,
            drop_path=0.0,
            remat=self.remat,
            scan=self.scan,
            heads=options.heads,
            hidden=round(options.mlp_ratio * options.width),
            layer_scale=None,
            dtype=self.dtype,
        )
        x = layer_norm(self.dtype, name="norm")(x)
        return linear(self.values, self.dtype, name="pixels")(x[:, x.shape[1] - patches :])
