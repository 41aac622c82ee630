"""Transformer blocks, one after the other: unrolled or looped over, kept or recomputed, with the same numbers."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Key

from jaxssl.models.attention import attend
from jaxssl.models.norm import parameter_type
from jaxssl.models.products import dense_product, on_cpu
from jaxssl.models.stochastic import drop_path

SMALL_NORMAL = nn.initializers.truncated_normal(0.02)


def layer_norm(dtype: Any, name: str) -> nn.LayerNorm:
    """Normalisation over channels; statistics and arithmetic in at least float32."""
    return nn.LayerNorm(
        epsilon=1e-6, use_fast_variance=False, dtype=dtype, param_dtype=parameter_type(dtype), name=name
    )


def linear(width: int, dtype: Any, name: str) -> nn.Dense:
    """A linear layer with bias that begins near zero."""
    return nn.Dense(
        width,
        kernel_init=SMALL_NORMAL,
        dtype=dtype,
        param_dtype=parameter_type(dtype),
        dot_general=dense_product,
        name=name,
    )


def computed_once(x: Float[Array, "batch token channel"]) -> Float[Array, "batch token channel"]:
    """x itself, for a branch to read, which on a CPU is kept from being computed anew there.

    What runs past the branches of all blocks is a long sum. XLA's CPU compiler would put the whole of it into each
    layer that reads it, which is work that grows with the square of the depth. (The sum itself has to go around this:
    where it came through as well, the compiler did as before.)
    """
    return lax.optimization_barrier(x) if on_cpu() else x


class Attention(nn.Module):
    """Every token looks at every other, in `heads` shares of the channels."""

    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "batch token channel"]) -> Float[Array, "batch token channel"]:
        """Attend within x."""
        batch, tokens, width = x.shape
        qkv = linear(3 * width, self.dtype, name="qkv")(x).reshape(batch, tokens, 3, self.heads, -1)
        seen = attend(*jnp.moveaxis(qkv, 2, 0))
        return linear(width, self.dtype, name="out")(seen.reshape(x.shape))


class Perceptron(nn.Module):
    """Two linear layers with the exact GELU between them, on each token by itself."""

    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "batch token channel"]) -> Float[Array, "batch token channel"]:
        """Apply to each token of x."""
        hidden = nn.gelu(linear(self.hidden, self.dtype, name="in")(x), approximate=False)
        return linear(x.shape[-1], self.dtype, name="out")(hidden)


class Block(nn.Module):
    """x + branch(norm(x)), first for attention, then for the perceptron.

    `layer_scale` is the initial value of a branch's factors by channel; none leaves them out.
    """

    heads: int
    hidden: int
    layer_scale: float | None
    dtype: Any
    collect: bool = False
    """Whether a loop over blocks stacks what each of them gives."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch token channel"], keys: Key[Array, " batch"] | None, rate: Float[Array, ""]
    ) -> tuple[Float[Array, "batch token channel"], Any]:
        """Give x after both branches, to go on with and to collect: the form that a loop over blocks asks for.

        With keys, one a sample, each branch of a sample is left out with probability `rate`.
        """
        attention = Attention(self.heads, self.dtype, name="attention")
        perceptron = Perceptron(self.hidden, self.dtype, name="mlp")
        for place, (name, branch) in enumerate({"attention": attention, "mlp": perceptron}.items()):
            change = branch(layer_norm(self.dtype, name=f"{name}_norm")(computed_once(x)))
            if self.layer_scale is not None:
                begin = nn.initializers.constant(self.layer_scale)
                scale = self.param(f"{name}_scale", begin, x.shape[-1:], parameter_type(self.dtype))
                change = change * scale.astype(self.dtype)
            if keys is not None:
                change = drop_path(change, _folded(keys, place), rate)
            x = x + change
        return x, x if self.collect else None


def run_blocks(
    x: Float[Array, "batch token channel"],
    keys: Key[Array, " batch"] | None,
    *,
    depth: int,
    drop_path: float,
    remat: bool,
    scan: bool,
    after: Sequence[int] = (),
    **options: Any,
) -> tuple[Float[Array, "batch token channel"], list[Float[Array, "batch token channel"]]]:
    """x after `depth` blocks of these options, made as parts of the module that calls this, and x after fewer blocks.

    The parameters are named block0, block1, ...; with `scan` they are stacked under "blocks", layers along the first
    axis. The rate of stochastic depth rises linearly from 0 to `drop_path`. `remat` and `scan` change no number.
    """
    rates = jnp.asarray(np.linspace(0, drop_path, depth), jnp.float32)
    keys_by_layer = None if keys is None else jax.vmap(_folded, (None, 0))(keys, jnp.arange(depth))
    # A loop keeps the compiler from undoing the recomputation; without one it must be told.
    block = nn.remat(Block, prevent_cse=not scan) if remat else Block
    if scan:
        loop = nn.scan(block, variable_axes={"params": 0}, split_rngs={"params": True}, length=depth)
        last, stacked = loop(**options, collect=bool(after), name="blocks")(x, keys_by_layer, rates)
        return last, [stacked[count - 1] if count else x for count in after]
    reached = [x]
    for layer in range(depth):
        here = None if keys_by_layer is None else keys_by_layer[layer]
        x, _ = block(**options, name=f"block{layer}")(x, here, rates[layer])
        reached.append(x)
    return x, [reached[count] for count in after]


def _folded(keys: Key[Array, " batch"], number: jax.Array | int) -> Key[Array, " batch"]:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
