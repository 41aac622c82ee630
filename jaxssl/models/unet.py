"""The 2D U-Nets of study B (de Mooij et al. 2024) and study C (Zhang et al. 2024), and a small one."""

from dataclasses import dataclass, field
from typing import Any, Literal

from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxssl.errors import UserError
from jaxssl.models.features import Features, pooled
from jaxssl.models.norm import Norm
from jaxssl.models.pyramid import SLOPE, Block, Decoder
from jaxssl.numerics import island


@dataclass(frozen=True)
class UNet:
    """Widths of the levels from fine to coarse, and normalisation.

    The defaults are study B: 33.47 M parameters with its six output layers, 14.16 M of them in the encoder.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 512, 512, 512)
    norm: Norm = field(default_factory=Norm)
    remat: int = 0
    """How many of the finest levels are recomputed in the backward pass: they hold most of the memory."""
    down: Literal["stride", "pool"] = "stride"
    """What halves an image between levels: the first convolution of a level, or the largest of 2x2 pixels before it."""
    slope: float = SLOPE
    """Of the leaky ReLUs; 0 makes them ReLUs."""
    pool: Literal["mean", "max"] = "mean"
    """What the embedding is of the coarsest map: its mean over the image, or its largest values."""
    decoder_norm: bool = True
    """Whether the decoder is normalised as the encoder is; otherwise it is not at all."""

    @classmethod
    def small(cls) -> "UNet":
        """A network that trains on two CPU cores in minutes."""
        return cls(widths=(8, 16, 32, 64, 128), norm=Norm(group=16))

    @classmethod
    def study_c(cls) -> "UNet":
        """Study C: the U-Net of Ronneberger et al. 2015, padded, as the study's code has it: 31.04 M parameters.

        Batch normalisation is in the encoder alone, and the place in the stack is read from the largest values of the
        coarsest map. The code draws the scales of batch normalisation about 1, where ours begin.
        """
        return cls((64, 128, 256, 512, 1024), Norm(group=20), down="pool", slope=0.0, pool="max", decoder_norm=False)

    @property
    def group(self) -> int:
        """How many consecutive samples are normalised together."""
        return self.norm.samples

    def encoder(self, dtype: Any, rows: int) -> "Encoder":
        """The module `(images, train) -> Features`, one map a level."""
        return Encoder(self, dtype, rows)

    def decoder(self, dtype: Any, rows: int) -> Decoder:
        """The module `(features, train) -> maps`, finest first."""
        norm = self.norm if self.decoder_norm else None
        return Decoder(self.widths[:-1], norm, rows, dtype, self.remat, self.slope)

    def check(self) -> None:
        """Refuse values that make no network, with a UserError that names the option."""
        if min(self.widths, default=1) < 1:
            raise UserError(f"model.widths {self.widths} must be at least 1 each.")
        if not 0 <= self.remat <= len(self.widths):
            raise UserError(f"model.remat is a number of levels from 0 to {len(self.widths)}, not {self.remat}.")
        if not 0 <= self.slope < 1:
            raise UserError(f"model.slope is that of a leaky ReLU, from 0 to below 1, not {self.slope}.")

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse widths that make no network, and an image size [y, x] that it cannot halve and double."""
        if len(self.widths) < 2:
            raise UserError(f"A U-Net needs at least two levels, not widths {self.widths}.")
        factor = 2 ** (len(self.widths) - 1)
        if any(side % factor for side in size):
            raise UserError(
                f"A U-Net of {len(self.widths)} levels needs image sides divisible by {factor}, "
                f"not {size[0]}x{size[1]}: choose another size, or fewer widths."
            )


class Encoder(nn.Module):
    """The left half of the U: one block a level, each after the first halving the image; nothing is drawn at random."""

    options: UNet
    dtype: Any
    rows: int

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width channel"],
        train: bool,
        keys: Key[Array, " batch"] | None = None,
    ) -> Features:
        """Give the maps of all levels and the embedding."""
        del keys
        options = self.options
        options.check_size((images.shape[1], images.shape[2]))
        maps = []
        x = images.astype(self.dtype)
        for level, width in enumerate(options.widths):
            stride = 2 if level and options.down == "stride" else 1
            if level and options.down == "pool":
                x = nn.max_pool(x, (2, 2), (2, 2))
            block = nn.remat(Block, static_argnums=(2,)) if level < options.remat else Block
            x = block(width, stride, options.norm, self.rows, self.dtype, options.slope, name=f"level{level}")(x, train)
            maps.append(x)
        return Features(tuple(maps), pooled(x) if options.pool == "mean" else island(x).max(axis=(1, 2)))
