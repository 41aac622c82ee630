"""A convolutional decoder for a vision transformer, whose maps are all of one size (UNETR, Hatamizadeh et al. 2022)."""

from typing import Any

import jax
from flax import linen as nn

from jaxssl.models import pyramid
from jaxssl.models.features import Features
from jaxssl.models.norm import Norm
from jaxssl.models.patches import Expand
from jaxssl.models.transformer import layer_norm


class Decoder(nn.Module):
    """The decoder of convolutional networks on a pyramid that is made of tokens of several depths, and of the image.

    The last tokens are doubled up to the image's size. At each size on the way they are joined by tokens from a little
    less deep in the encoder, normalised and then spread over their patch by one linear layer: shallow ones, that know
    more of where than of what, come where the map is fine. At the image's own size the image joins as it is, so that a
    border need not be remembered to the pixel through all blocks. Samples are normalised each by itself, in groups of
    channels so few that at usual widths none has a channel alone.
    """

    widths: tuple[int, ...]
    remat: bool
    dtype: Any

    @nn.compact
    def __call__(self, features: Features, train: bool) -> tuple[jax.Array, ...]:
        """Give maps [B, h, w, width], finest first; the features are the image, tokens of rising depth, the last."""
        image, *between, last = features.maps
        joined = [image]
        for level, tokens in enumerate(between, start=1):
            side = 2 ** (len(self.widths) - level)
            tokens = layer_norm(self.dtype, name=f"norm{level}")(tokens)
            joined.append(Expand((side, side), self.widths[level], self.dtype, name=f"expand{level}")(tokens))
        levels = len(self.widths) if self.remat else 0
        rise = pyramid.Decoder(self.widths, Norm(type="group", channel_groups=8), 1, self.dtype, levels, name="pyramid")
        return rise(Features((*joined, last), features.embedding), train)
