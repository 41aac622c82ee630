"""VGG-16 (Simonyan and Zisserman 2015) as torchvision has it, with and without batch normalisation."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxssl.errors import UserError
from jaxssl.models.features import Features, pooled
from jaxssl.models.norm import Norm
from jaxssl.models.pyramid import ConvNorm, Decoder, check_widths
from jaxssl.models.representation import Representation
from jaxssl.numerics import island


@dataclass(frozen=True)
class VGG:
    """Levels from fine to coarse, each of convolutions 3x3 and a max-pooling; the defaults are VGG-16.

    With 3 channels the convolutions have 14,714,688 parameters; with `grid` 7 and `representation` 4096, 4096, 1000 it
    is the whole network of 138,357,544, without the dropout that torchvision has in its classifier.
    """

    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    """Convolutions of each level."""
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    """Channels of each level."""
    norm: Norm | None = None
    """Normalisation after each convolution; the original has none."""
    grid: int = 1
    """The last map is averaged to grid x grid places, whatever the image's size: 1 is its mean, 7 is torchvision's."""
    representation: tuple[int, ...] = ()
    """Widths of linear layers from these places to the embedding, with a ReLU between them."""
    decoder_widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    """Channels of a decoder's maps, finest first: one for each level."""

    @classmethod
    def vgg16(cls) -> "VGG":
        """The original: no normalisation."""
        return cls()

    @classmethod
    def vgg16_bn(cls) -> "VGG":
        """With batch normalisation after each convolution."""
        return cls(norm=Norm())

    @property
    def group(self) -> int:
        """How many consecutive samples are normalised together."""
        return self.norm.samples if self.norm else 1

    def encoder(self, dtype: Any, rows: int) -> "Encoder":
        """The module `(images, train) -> Features`: each level's map before its pooling, and the last one pooled."""
        return Encoder(self, dtype, rows)

    def decoder(self, dtype: Any, rows: int) -> Decoder:
        """The module `(features, train) -> maps`, finest first."""
        return Decoder(self.decoder_widths, self.norm, rows, dtype, slope=0.0)

    def check(self) -> None:
        """Refuse values that make no network, with a UserError that names the option."""
        if not self.widths or len(self.depths) != len(self.widths):
            raise UserError(
                f"model.depths {self.depths} and model.widths {self.widths} must have one number a level, and a level."
            )
        for name in ("depths", "widths", "representation"):
            if min(getattr(self, name), default=1) < 1:
                raise UserError(f"model.{name} {getattr(self, name)} must be at least 1 each.")
        if self.grid < 1:
            raise UserError(f"model.grid must be at least 1 place, not {self.grid}.")
        check_widths(self.decoder_widths, 2 ** len(self.widths))

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse an image size [y, x] of which the poolings leave nothing."""
        least = 2 ** len(self.widths)
        if min(size) < least:
            raise UserError(
                f"A VGG of {len(self.widths)} levels needs image sides of at least {least} pixels, "
                f"not {size[0]}x{size[1]}: choose a larger size, or fewer levels."
            )


class Encoder(nn.Module):
    """Convolutions and poolings; an odd last row or column of a map is left out of its pooling, as torchvision does."""

    options: VGG
    dtype: Any
    rows: int

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width channel"],
        train: bool,
        keys: Key[Array, " batch"] | None = None,
    ) -> Features:
        """Give the maps of all levels, the last one pooled, and the embedding."""
        del keys
        options = self.options
        options.check_size((images.shape[1], images.shape[2]))
        maps = []
        x = images.astype(self.dtype)
        for level, (depth, width) in enumerate(zip(options.depths, options.widths, strict=True)):
            x = Level(depth, width, options.norm, self.rows, self.dtype, name=f"level{level}")(x, train)
            maps.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        places = averaged(x, options.grid).reshape(x.shape[0], -1)
        embedding = Representation(options.representation, self.dtype, name="representation")(places)
        return Features((*maps, x), embedding)


class Level(nn.Module):
    """`depth` times a convolution with bias, normalisation if any, and a ReLU."""

    depth: int
    width: int
    norm: Norm | None
    rows: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"], train: bool) -> Float[Array, "batch h w c"]:
        """Apply to x."""
        for index in range(self.depth):
            x = ConvNorm(self.width, 1, self.norm, self.rows, self.dtype, slope=0.0, name=f"conv{index}")(x, train)
        return x


def averaged(x: Float[Array, "batch height width channel"], grid: int) -> Float[Array, "batch grid grid channel"]:
    """Means over grid x grid places of about equal size, in at least float32.

    Place i of n takes the rows from floor(i h / n) to below ceil((i + 1) h / n), as torch's adaptive pooling does: in a
    small map they overlap.
    """
    if grid == 1:
        return pooled(x)[:, None, None]
    rows, columns = (_shares(side, grid) for side in x.shape[1:3])
    return jnp.einsum("bhwc,ih,jw->bijc", island(x), rows, columns, precision=jax.lax.Precision.HIGHEST)


def _shares(side: int, grid: int) -> Float[Array, "grid side"]:
    """What each pixel of a side contributes to the mean of each place."""
    place, pixel = jnp.arange(grid)[:, None], jnp.arange(side)
    inside = (pixel >= place * side // grid) & (pixel < -(-(place + 1) * side // grid))
    return inside / inside.sum(axis=1, keepdims=True)
