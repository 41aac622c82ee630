"""One convolution in place of a network: compiled at once, where a test is about a method and not about its encoder."""

from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxssl.models.features import Features, pooled
from jaxssl.models.norm import GroupedBatchNorm, Norm


@dataclass(frozen=True)
class Shallow:
    """What a backbone is asked for, of any image size; samples meet in its normalisation as they do in a network's."""

    width: int = 8
    norm: Norm = field(default_factory=lambda: Norm(group=8))

    @property
    def group(self) -> int:
        return self.norm.samples

    def encoder(self, dtype: Any, rows: int) -> nn.Module:
        return Encoder(self.width, rows, dtype)

    def check_size(self, size: tuple[int, int]) -> None:
        del size


class Encoder(nn.Module):
    width: int
    rows: int
    dtype: Any

    @nn.compact
    def __call__(self, images, train, keys=None):
        del keys
        wide = jnp.promote_types(self.dtype, jnp.float32)
        convolution = nn.Conv(self.width, (3, 3), 2, use_bias=False, dtype=self.dtype, param_dtype=wide, name="level0")
        x = convolution(images.astype(self.dtype))
        x = nn.silu(GroupedBatchNorm(self.rows, dtype=self.dtype, name="norm0")(x, train=train))
        return Features((x,), pooled(x))
