"""What a backbone gives, and what its options class must offer: a new backbone is one file that fulfils `Backbone`."""

from typing import Any, NamedTuple, Protocol

import jax
from flax import linen as nn
from jaxtyping import Array, Float

from jaxssl.models.norm import Norm
from jaxssl.numerics import island


class Features(NamedTuple):
    """maps: [B, h, w, c] from fine to coarse, in the compute type; embedding: [B, d], in at least float32."""

    maps: tuple[jax.Array, ...]
    embedding: jax.Array


def pooled(features: Float[Array, "batch height width channel"]) -> Float[Array, "batch channel"]:
    """Average over the image, summed in at least float32."""
    return island(features).mean(axis=(1, 2))


class Backbone(Protocol):
    """A frozen dataclass of options whose fields describe the network; its class methods are the named variants.

    The modules are called as `encoder(images [B, H, W, C], train, keys) -> Features` and
    `decoder(features, train) -> tuple of maps [B, h, w, c], finest first`, where the finest has the image's size.
    `keys`, one a row and needed in training only, are for encoders that draw at random; the others ignore them.
    `rows` is how many consecutive rows of the leading axis share normalisation statistics. Parameters are at least
    float32; `dtype` is the type computed in.
    """

    @property
    def group(self) -> int:
        """How many consecutive samples are normalised together; 1 where each is by itself."""
        ...

    @property
    def norm(self) -> Norm | None:
        """How running statistics move; none where there are none."""
        ...

    def encoder(self, dtype: Any, rows: int) -> nn.Module:
        """The module from images to features."""
        ...

    def decoder(self, dtype: Any, rows: int) -> nn.Module:
        """The module from features back to maps of the image's size and coarser; a UserError where there is none."""
        ...

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse, with a UserError, an image size [y, x] that this network cannot take."""
        ...
