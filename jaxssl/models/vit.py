"""The vision transformer (Dosovitskiy et al. 2021) with registers, LayerScale and stochastic depth."""

from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key, Shaped

from jaxssl.errors import UserError
from jaxssl.models.features import Features, pooled
from jaxssl.models.norm import parameter_type
from jaxssl.models.patches import Patches
from jaxssl.models.positions import Positions, sine_cosine
from jaxssl.models.transformer import SMALL_NORMAL, layer_norm, run_blocks
from jaxssl.numerics import island


@dataclass(frozen=True)
class ViT:
    """Patches, widths, and how the blocks are run; the defaults are ViT-S/16.

    Parameters at 224 x 224 x 3 with a class token: tiny 5.52 M, small 21.67 M, base 85.80 M, large 303.30 M.
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
    """Recompute each block in the backward pass: a fraction of the memory for a third more work."""
    scan: bool = False
    """Loop over the blocks, their parameters stacked: one block is compiled, whatever the depth."""

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

    def encoder(self, dtype: Any, rows: int) -> "Encoder":
        """The module `(images, train, keys, hidden, visible) -> Features` with one map, of a token a patch.

        `rows` is of no account.
        """
        del rows
        return Encoder(self, dtype)

    def decoder(self, dtype: Any, rows: int) -> nn.Module:
        """Refuse: there is none."""
        raise UserError(
            "This method needs a decoder, which a ViT does not have: choose a U-Net, or a method that does without "
            "(simclr, mae, mim with method.fill token)."
        )

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
        """Give the normalised tokens of the patches as a map, and the class token or the map's mean as embedding.

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
        x = run_blocks(
            x,
            keys if train and options.drop_path else None,
            depth=options.depth,
            drop_path=options.drop_path,
            remat=options.remat,
            scan=options.scan,
            heads=options.heads,
            hidden=round(options.mlp_ratio * options.width),
            layer_scale=options.layer_scale,
            dtype=self.dtype,
        )
        x = layer_norm(self.dtype, name="norm")(x)
        count = patches.shape[1]
        rows, columns = grid if visible is None else (1, count)
        patches = x[:, x.shape[1] - count :].reshape(-1, rows, columns, options.width)
        return Features((patches,), island(x[:, 0]) if options.pool == "token" else pooled(patches))

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
