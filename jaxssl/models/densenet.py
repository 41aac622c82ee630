"""The densely connected network with bottlenecks and compression (Huang et al. 2017), laid out as torchvision's."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxssl.errors import UserError
from jaxssl.models.convolution import convolution, halved, stem
from jaxssl.models.features import Features, pooled
from jaxssl.models.norm import Norm
from jaxssl.models.pyramid import Decoder, check_widths
from jaxssl.models.representation import Representation

BOTTLENECK = 4
"""Channels between the two convolutions of a layer, in units of the growth."""
COMPRESSION = 2
"""What a transition divides the channels by."""


@dataclass(frozen=True)
class DenseNet:
    """Layers and growth, and normalisation; the defaults are DenseNet-121.

    Encoder parameters with 3 channels: 6.95 M. Images of any size are taken from 29 x 29 on.
    """

    layers: tuple[int, ...] = (6, 12, 24, 16)
    """Layers of each level; a level has half the pixels of the one before."""
    growth: int = 32
    """Channels that each layer adds."""
    width: int = 64
    """Channels of the stem."""
    norm: Norm = field(default_factory=Norm)
    representation: tuple[int, ...] = ()
    """Widths of linear layers from the pooled map to the embedding; none leaves the pooled map."""
    decoder_widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Channels of a decoder's maps, finest first: one for each level of layers and one for the stem."""
    remat: bool = False
    """Recompute each layer in the backward pass, the joining of its inputs too: what is kept then grows with the number
    of layers, and not with its square."""

    @classmethod
    def densenet121(cls) -> "DenseNet":
        """DenseNet-121."""
        return cls()

    @property
    def group(self) -> int:
        """How many consecutive samples are normalised together."""
        return self.norm.samples

    def encoder(self, dtype: Any, rows: int) -> "Encoder":
        """The module `(images, train) -> Features`: a map after the stem and one a level."""
        return Encoder(self, dtype, rows)

    def decoder(self, dtype: Any, rows: int) -> Decoder:
        """The module `(features, train) -> maps`, finest first."""
        return Decoder(self.decoder_widths, self.norm, rows, dtype)

    def check(self) -> None:
        """Refuse values that make no network, with a UserError that names the option."""
        if not self.layers or min(self.layers) < 1:
            raise UserError(f"model.layers are at least 1 in each of at least one level, not {self.layers}.")
        if min(self.growth, self.width, *self.representation) < 1:
            raise UserError(
                f"model.growth {self.growth}, model.width {self.width} and model.representation {self.representation} "
                "must be at least 1 each."
            )
        check_widths(self.decoder_widths, 2 ** (len(self.layers) + 1))

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse an image size [y, x] of which halving, rounded down between levels, would leave nothing."""
        smallest = 4 * (2 ** (len(self.layers) - 1) - 1) + 1
        if min(size) < smallest:
            raise UserError(
                f"A DenseNet of {len(self.layers)} levels needs image sides of at least {smallest}, "
                f"not {size[0]}x{size[1]}: choose another size, or fewer model.layers."
            )


class Encoder(nn.Module):
    """A stem, and levels of layers with a transition between them; nothing is drawn at random."""

    options: DenseNet
    dtype: Any
    rows: int

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width channel"],
        train: bool,
        keys: Key[Array, " batch"] | None = None,
    ) -> Features:
        """Give the maps from the stem's on, and the representation of the last."""
        del keys
        options = self.options
        options.check_size((images.shape[1], images.shape[2]))
        maps = [stem(images, options.width, options.norm, self.rows, self.dtype, train)]
        x = halved(maps[0])
        for number in range(len(options.layers)):
            whole, x = Level(options, number, self.dtype, self.rows, name=f"level{number}")(x, train)
            maps.append(whole)
        maps[-1] = nn.relu(options.norm.layer(self.rows, self.dtype, name="norm")(maps[-1], train))
        embedding = Representation(options.representation, self.dtype, name="representation")(pooled(maps[-1]))
        return Features(tuple(maps), embedding)


class Level(nn.Module):
    """Layers that see what entered the level and what all before them gave, and a transition to the next level."""

    options: DenseNet
    number: int
    dtype: Any
    rows: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> tuple[Float[Array, "batch height width c"], Float[Array, "batch h w d"]]:
        """Give x with what all layers add to its channels, and the same with half the channels and half the pixels.

        The last level has no transition, and gives its map twice.
        """
        options = self.options
        layer = nn.remat(Layer, static_argnums=(2,)) if options.remat else Layer
        maps = [x]
        for number in range(options.layers[self.number]):
            maps.append(layer(options, self.dtype, self.rows, name=f"layer{number}")(tuple(maps), train))
        whole = jnp.concatenate(maps, axis=-1)
        if self.number == len(options.layers) - 1:
            return whole, whole
        x = nn.relu(options.norm.layer(self.rows, self.dtype, name="transition_norm")(whole, train))
        x = convolution(whole.shape[-1] // COMPRESSION, 1, 1, self.dtype, name="transition")(x)
        return whole, nn.avg_pool(x, (2, 2), (2, 2))


class Layer(nn.Module):
    """Normalised and rectified before each of two convolutions: 1x1 to a bottleneck, 3x3 to as many as the growth."""

    options: DenseNet
    dtype: Any
    rows: int

    @nn.compact
    def __call__(self, maps: tuple[jax.Array, ...], train: bool) -> Float[Array, "batch height width growth"]:
        """Apply to the maps [B, h, w, c] so far, joined here: recomputed layers then keep no joined copy."""
        options = self.options
        x = jnp.concatenate(maps, axis=-1)
        for number, (side, width) in enumerate([(1, BOTTLENECK * options.growth), (3, options.growth)], 1):
            x = nn.relu(options.norm.layer(self.rows, self.dtype, name=f"norm{number}")(x, train))
            x = convolution(width, side, 1, self.dtype, name=f"conv{number}")(x)
        return x
