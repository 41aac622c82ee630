"""The vision transformer (Dosovitskiy et al. 2021) with registers, LayerScale and stochastic depth."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxssl.errors import UserError
from jaxssl.models.features import Features, pooled
from jaxssl.models.norm import parameter_type
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
        """The module `(images, train, keys) -> Features` with one map, of a token a patch; `rows` is of no account."""
        del rows
        return Encoder(self, dtype)

    def decoder(self, dtype: Any, rows: int) -> nn.Module:
        """Refuse: there is none."""
        raise UserError("This method needs a decoder, which a ViT does not have: choose a U-Net, or simclr.")

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
    ) -> Features:
        """Give the normalised tokens of the patches as a map, and the class token or the map's mean as embedding."""
        options = self.options
        options.check_size((images.shape[1], images.shape[2]))
        if train and options.drop_path and keys is None:
            raise ValueError("Stochastic depth draws with one key a sample, and a ViT in training was given none.")
        patches = Patches(options.patch_size, options.width, self.dtype, name="patch")(images)
        grid = patches.shape[:3]
        x = self._with_tokens(patches)
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
        tokens = x.shape[1] - grid[1] * grid[2]
        patches = x[:, tokens:].reshape(*grid, options.width)
        return Features((patches,), island(x[:, 0]) if options.pool == "token" else pooled(patches))

    def _with_tokens(self, patches: Float[Array, "batch h w channel"]) -> Float[Array, "batch token channel"]:
        """Patches with their positions in one row, after the class token and the registers."""
        options, wide = self.options, parameter_type(self.dtype)
        batch, height, width, channels = patches.shape
        has_class = options.pool == "token"
        positions, of_class = Positions(has_class, wide, name="positions")(height, width, channels)
        x = (patches + positions.astype(self.dtype)).reshape(batch, height * width, channels)
        extra = has_class + options.registers
        if not extra:
            return x
        tokens = self.param("tokens", SMALL_NORMAL, (extra, channels), wide)
        if of_class is not None:
            tokens = jnp.concatenate([tokens[:1] + of_class, tokens[1:]])
        tokens = jnp.broadcast_to(tokens.astype(self.dtype), (batch, extra, channels))
        return jnp.concatenate([tokens, x], axis=1)


class Patches(nn.Module):
    """Each patch of `size` = (P, Q) pixels to `width` channels.

    out[h, w, d] = sum_ijc x[h P + i, w Q + j, c] kernel[i, j, c, d] + bias[d]: patches do not overlap, so it is one
    matrix product.
    """

    size: tuple[int, int]
    width: int
    dtype: Any

    @nn.compact
    def __call__(self, images: Float[Array, "batch height width channel"]) -> Float[Array, "batch h w out"]:
        """Give a grid of tokens in the compute type."""
        wide = parameter_type(self.dtype)
        batch, height, width, channels = images.shape
        kernel = self.param("kernel", SMALL_NORMAL, (*self.size, channels, self.width), wide)
        bias = self.param("bias", nn.initializers.zeros, (self.width,), wide)
        cut = (batch, height // self.size[0], self.size[0], width // self.size[1], self.size[1], channels)
        x = images.astype(self.dtype).reshape(cut)
        return jnp.einsum("bhiwjc,ijcd->bhwd", x, kernel.astype(self.dtype)) + bias.astype(self.dtype)


class Positions(nn.Module):
    """A learnt vector for each place of the grid that the parameters were made for, and one for the class token."""

    has_class: bool
    dtype: Any

    @nn.compact
    def __call__(self, height: int, width: int, channels: int) -> tuple[jax.Array, jax.Array | None]:
        """Positions [height, width, channels], interpolated for another grid, and the class token's [channels]."""
        if self.has_variable("params", "grid"):
            grid = self.get_variable("params", "grid")
        else:
            grid = self.param("grid", SMALL_NORMAL, (height, width, channels), self.dtype)
        if grid.shape != (height, width, channels):
            grid = jax.image.resize(grid, (height, width, channels), "bicubic", antialias=True)
        of_class = self.param("token", SMALL_NORMAL, (channels,), self.dtype) if self.has_class else None
        return grid, of_class
