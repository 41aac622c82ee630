"""The residual network (He et al. 2016), its bottleneck halving the image in the 3x3 convolution as torchvision's."""

from dataclasses import dataclass, field
from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxssl.errors import UserError
from jaxssl.models.convolution import convolution, halved, stem
from jaxssl.models.features import Features, pooled
from jaxssl.models.norm import Norm
from jaxssl.models.pyramid import Decoder, check_widths
from jaxssl.models.representation import Representation

EXPANSION = 4
"""How many times wider a bottleneck ends than its 3x3 convolution is."""


@dataclass(frozen=True)
class ResNet:
    """Blocks and widths, and normalisation; the defaults are ResNet-18.

    Encoder parameters with 3 channels: resnet18 11.18 M, resnet50 23.51 M. Images of any size are taken.
    """

    blocks: tuple[int, ...] = (2, 2, 2, 2)
    """Blocks of each level; a level has half the pixels and twice the channels of the one before."""
    width: int = 64
    """Channels of the stem and of the first level's 3x3 convolutions."""
    bottleneck: bool = False
    """Blocks of 1x1, 3x3 and 1x1 convolutions, the last four times as wide, instead of two 3x3 ones."""
    zero_init: bool = False
    """Begin each block's last scale at 0, which eases large batches (Goyal et al. 2017); torchvision begins at 1."""
    norm: Norm = field(default_factory=Norm)
    representation: tuple[int, ...] = ()
    """Widths of linear layers from the pooled map to the embedding; none leaves the pooled map."""
    decoder_widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Channels of a decoder's maps, finest first: one for each level of blocks and one for the stem."""

    @classmethod
    def resnet18(cls) -> "ResNet":
        """ResNet-18."""
        return cls()

    @classmethod
    def resnet50(cls) -> "ResNet":
        """ResNet-50."""
        return cls(blocks=(3, 4, 6, 3), bottleneck=True)

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
        if not self.blocks or min(self.blocks) < 1:
            raise UserError(f"model.blocks are at least 1 in each of at least one level, not {self.blocks}.")
        if min((self.width, *self.representation)) < 1:
            raise UserError(
                f"model.width {self.width} and model.representation {self.representation} must be at least 1 each."
            )
        check_widths(self.decoder_widths, 2 ** (len(self.blocks) + 1))

    def check_size(self, size: tuple[int, int]) -> None:
        """Take any size."""


class Encoder(nn.Module):
    """A stem, and levels of blocks, each after the first halving the image; nothing is drawn at random."""

    options: ResNet
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
        maps = [stem(images, options.width, options.norm, self.rows, self.dtype, train)]
        x = halved(maps[0])
        for number in range(len(options.blocks)):
            x = Level(options, number, self.dtype, self.rows, name=f"level{number}")(x, train)
            maps.append(x)
        embedding = Representation(options.representation, self.dtype, name="representation")(pooled(x))
        return Features(tuple(maps), embedding)


class Level(nn.Module):
    """Blocks of one width; the first of any level but the first halves the image."""

    options: ResNet
    number: int
    dtype: Any
    rows: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"], train: bool) -> Float[Array, "batch h w c"]:
        """Apply all blocks to x."""
        for block in range(self.options.blocks[self.number]):
            stride = 2 if self.number and not block else 1
            width = self.options.width << self.number
            x = Block(self.options, width, stride, self.dtype, self.rows, name=f"block{block}")(x, train)
        return x


class Block(nn.Module):
    """Convolutions, each normalised, that are added to what they were given: relu(shortcut(x) + convolutions(x))."""

    options: ResNet
    width: int
    stride: int
    dtype: Any
    rows: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"], train: bool) -> Float[Array, "batch h w c"]:
        """Apply to x; with stride 2 the image is halved."""
        layers = [(3, self.stride, self.width), (3, 1, self.width)]
        if self.options.bottleneck:
            layers = [(1, 1, self.width), (3, self.stride, self.width), (1, 1, EXPANSION * self.width)]
        out = x
        for number, (side, stride, width) in enumerate(layers, 1):
            out = nn.relu(out) if number > 1 else out
            scale = 0.0 if self.options.zero_init and number == len(layers) else 1.0
            out = convolution(width, side, stride, self.dtype, name=f"conv{number}")(out)
            out = self._norm(f"norm{number}", scale)(out, train)
        if x.shape != out.shape:
            x = convolution(out.shape[-1], 1, self.stride, self.dtype, name="shortcut")(x)
            x = self._norm("shortcut_norm")(x, train)
        return nn.relu(x + out)

    def _norm(self, name: str, scale: float = 1.0) -> nn.Module:
        return self.options.norm.layer(self.rows, self.dtype, name=name, scale=scale)
