"""The vision transformer (Dosovitskiy et al. 2021) with registers, LayerScale and stochastic depth."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key, Shaped

from jaxssl.errors import UserError
from jaxssl.models.features import Features, pooled
from jaxssl.models.norm import parameter_type
from jaxssl.models.patches import Patches
from jaxssl.models.positions import Positions, sine_cosine
from jaxssl.models.pyramid import check_widths
from jaxssl.models.transformer import SMALL_NORMAL, layer_norm, run_blocks
from jaxssl.models.vit_decoder import Decoder
from jaxssl.numerics import island


@dataclass(frozen=True)
class ViT:
    """Patches, widths, and how the blocks are run; the defaults are ViT-S/16.

    Parameters at 224 x 224 x 3 with a class token: tiny 5.52 M, small 21.67 M, base 85.80 M, large 303.30 M.
    Multiply-adds of such an image, with the two products of attention: 1.26 G, 4.61 G, 17.58 G, 61.60 G.
    """

    patch: int | tuple[int, int] = 16
    """Side of a patch in pixels, or its height and width."""
    width: int = 384
    depth: int = 12
    heads: int = 6
    mlp_ratio: float = 4.0
    """Hidden channels of each block's perceptron, in units of the width."""
    pool: Literal["token", "mean"] = "token"
    """What the embedding is: a class token, or the mean of the patches."""
    positions: Literal["learnt", "sincos"] = "learnt"
    """Learnt for the patches of an image and the class token, or fixed sines and cosines of the patches (MAE)."""
    registers: int = 0
    """Tokens of no patch, to work with, that are dropped at the end (Darcet et al. 2024)."""
    layer_scale: float | None = None
    """Initial factor on each branch of a block (Touvron et al. 2021); none leaves the factors out."""
    drop_path: float = 0.0
    """Probability of leaving out a branch of the last block; it rises linearly from 0 at the first."""
    remat: bool = False
    """Recompute each block in the backward pass, and each level of the decoder: a fraction of the memory for a third
    more work."""
    scan: bool = False
    """Loop over the blocks, their parameters stacked: one block is compiled, whatever the depth."""
    decoder_widths: tuple[int, ...] = ()
    """Channels of a decoder's maps, finest first, one for each doubling from patches to pixels; none for no decoder."""

    @classmethod
    def tiny(cls) -> "ViT":
        """ViT-Ti/16."""
        return cls(width=192, heads=3)

    @classmethod
    def small(cls) -> "ViT":
        """ViT-S/16."""
        return cls()

    @classmethod
    def base(cls) -> "ViT":
        """ViT-B/16."""
        return cls(width=768, heads=12)

    @classmethod
    def large(cls) -> "ViT":
        """ViT-L/16."""
        return cls(width=1024, depth=24, heads=16)

    @property
    def group(self) -> int:
        """Each sample is normalised by itself."""
        return 1

    @property
    def norm(self) -> None:
        """There are no running statistics."""

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch."""
        return (self.patch, self.patch) if isinstance(self.patch, int) else self.patch

    @property
    def joined(self) -> tuple[int, ...]:
        """After how many blocks a decoder takes tokens on the way, from the finest of its maps that have some."""
        levels = len(self.decoder_widths)
        return tuple(self.depth * level // levels for level in range(1, levels))

    def encoder(self, dtype: Any, rows: int) -> "Encoder":
        """The module `(images, train, keys, hidden, visible) -> Features` with a map of a token a patch.

        Where a decoder follows there are others before it: the image, and the tokens that join on the way. `rows` is of
        no account.
        """
        del rows
        return Encoder(self, dtype)

    def decoder(self, dtype: Any, rows: int) -> Decoder:
        """The module `(features, train) -> maps`, finest first; refused where no widths are given."""
        del rows
        if not self.decoder_widths:
            raise UserError(
                "This method needs a decoder, which a ViT does not have unless model.decoder_widths says so (32 64 128 "
                "256 for patch 16): set it, choose a U-Net, or a method that does without (simclr, mae, mim with "
                "method.fill token)."
            )
        return Decoder(self.decoder_widths, self.remat, dtype)

    def check(self) -> None:
        """Refuse values that make no network, with a UserError that names the option."""
        counts = {"width": self.width, "depth": self.depth, "heads": self.heads, "patch": min(self.patch_size)}
        for name, value in counts.items():
            if value < 1:
                raise UserError(f"model.{name} must be at least 1, not {value}.")
        if self.width % self.heads:
            raise UserError(f"model.heads {self.heads} does not divide model.width {self.width}; choose one that does.")
        if self.mlp_ratio <= 0:
            raise UserError(f"model.mlp_ratio must be above 0, not {self.mlp_ratio}.")
        if self.positions == "sincos" and self.width % 4:
            raise UserError(f"model.positions sincos needs model.width in fours, not {self.width}; choose learnt.")
        if self.registers < 0:
            raise UserError(f"model.registers cannot be negative ({self.registers}).")
        if not 0 <= self.drop_path < 1:
            raise UserError(f"model.drop_path is a probability in [0, 1), not {self.drop_path}.")
        if self.decoder_widths:
            self._check_decoder()

    def _check_decoder(self) -> None:
        height, width = self.patch_size
        if height != width or height.bit_count() != 1:
            raise UserError(
                f"model.decoder_widths is for patches that doubling makes of a pixel, not for {height}x{width}: choose "
                "a model.patch of 2, 4, 8, 16 or 32, or leave the decoder out."
            )
        check_widths(self.decoder_widths, height)

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse an image size [y, x] that cannot be cut into patches."""
        height, width = self.patch_size
        if size[0] % height or size[1] % width:
            raise UserError(
                f"Patches of {height}x{width} do not divide an image of {size[0]}x{size[1]}: "
                "choose another size, or another model.patch."
            )


class Encoder(nn.Module):
    """Patches to tokens, blocks, and a last normalisation."""

    options: ViT
    dtype: Any

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width channel"],
        train: bool,
        keys: Key[Array, " batch"] | None = None,
        hidden: Shaped[Array, "batch patch"] | None = None,
        visible: Int[Array, "batch chosen"] | None = None,
    ) -> Features:
        """Give the normalised tokens of the patches as last map, and the class token or the map's mean as embedding.

        Patches are counted row by row. A learnt token stands for the `hidden` ones (true or 1; SimMIM, iBOT); its
        parameter `mask_token` is there in networks that were begun with `hidden`, and in no others. Of the `visible`
        ones (by number; MAE) alone tokens are made at all, and the map is of these, in one row.
        """
        options = self.options
        options.check_size((images.shape[1], images.shape[2]))
        if train and options.drop_path and keys is None:
            raise ValueError("Stochastic depth draws with one key a sample, and a ViT in training was given none.")
        if hidden is not None and visible is not None:
            raise ValueError("Patches are hidden by a token or left out, not both at once.")
        grid = (images.shape[1] // options.patch_size[0], images.shape[2] // options.patch_size[1])
        patches = Patches(options.patch_size, options.width, self.dtype, name="patch")(images, visible)
        if hidden is not None:
            token = self.param("mask_token", SMALL_NORMAL, (options.width,), parameter_type(self.dtype))
            patches = jnp.where(hidden[..., None] != 0, token.astype(self.dtype), patches)
        x = self._with_tokens(patches, grid, visible)
        x, between = run_blocks(
            x,
            keys if train and options.drop_path else None,
            depth=options.depth,
            drop_path=options.drop_path,
            remat=options.remat,
            scan=options.scan,
            after=options.joined,
            heads=options.heads,
            hidden=round(options.mlp_ratio * options.width),
            layer_scale=options.layer_scale,
            dtype=self.dtype,
        )
        x = layer_norm(self.dtype, name="norm")(x)
        rows, columns = grid if visible is None else (1, patches.shape[1])

        def as_map(x: jax.Array) -> jax.Array:
            return x[:, -rows * columns :].reshape(-1, rows, columns, options.width)

        patches = as_map(x)
        before = (images.astype(self.dtype), *map(as_map, between)) if options.decoder_widths else ()
        return Features((*before, patches), island(x[:, 0]) if options.pool == "token" else pooled(patches))

    def _with_tokens(
        self,
        patches: Float[Array, "batch patch channel"],
        grid: tuple[int, int],
        visible: Int[Array, "batch patch"] | None,
    ) -> Float[Array, "batch token channel"]:
        """Patches with their positions, after the class token and the registers."""
        options, wide = self.options, parameter_type(self.dtype)
        batch, _, channels = patches.shape
        has_class = options.pool == "token"
        if options.positions == "learnt":
            positions, of_class = Positions(has_class, wide, name="positions")(*grid, channels)
        else:
            positions, of_class = sine_cosine(*grid, channels, wide), None
        positions = positions.reshape(-1, channels).astype(self.dtype)
        x = patches + (positions if visible is None else positions[visible])
        extra = has_class + options.registers
        if not extra:
            return x
        tokens = self.param("tokens", SMALL_NORMAL, (extra, channels), wide)
        if of_class is not None:
            tokens = jnp.concatenate([tokens[:1] + of_class, tokens[1:]])
        tokens = jnp.broadcast_to(tokens.astype(self.dtype), (batch, extra, channels))
        return jnp.concatenate([tokens, x], axis=1)
