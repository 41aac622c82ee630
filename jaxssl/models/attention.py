"""Attention by whatever is fastest on the device that it is traced for, with the same numbers on all."""

import re
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float

from jaxssl.models.device import traced_for

FLASH_FROM = 200
"""Tokens from which a fused kernel pays: others report a draw between 150 and 200."""
FLASH_DIM = 128
"""Channels of a head, in eights, of which every generation that has the kernel has its backward pass too."""

Implementation = Literal["xla", "cudnn"]


def attend(
    query: Float[Array, "batch token head dim"],
    key: Float[Array, "batch token head dim"],
    value: Float[Array, "batch token head dim"],
) -> Float[Array, "batch token head dim"]:
    """softmax(q k^T / sqrt(dim)) v for each head, the softmax in at least float32."""
    if query.dtype == jnp.float64:  # jax's own takes every softmax in float32, where exactness could not be tested
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5
        return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), value)
    if fastest(*traced_for(), query.dtype, tokens=query.shape[1], dim=query.shape[-1]) == "cudnn":
        return _flash(query, key, value)
    return jax.nn.dot_product_attention(query, key, value, implementation="xla")


def fastest(platform: str, capability: str, dtype: DTypeLike, tokens: int, dim: int) -> Implementation:
    """What `jax.nn.dot_product_attention` should run: cuDNN's flash attention where it can be had and pays.

    It is for NVIDIA's devices from capability 8.0 on and for half precision alone; AMD's are "gpu" too, but
    have names for capabilities. Everywhere else, TPUs included, XLA's products are all that jax offers. What the table
    says was read in jax and in cuDNN's manual; it has not been seen on a GPU.
    """
    generation = re.fullmatch(r"(\d+)\.\d+", capability)
    able = platform == "gpu" and generation is not None and int(generation[1]) >= 8
    half = dtype in (jnp.bfloat16, jnp.float16)
    return "cudnn" if able and half and tokens >= FLASH_FROM and dim % 8 == 0 and dim <= FLASH_DIM else "xla"


def _flash(
    query: Float[Array, "batch token head dim"],
    key: Float[Array, "batch token head dim"],
    value: Float[Array, "batch token head dim"],
) -> Float[Array, "batch token head dim"]:
    """By cuDNN, which in training jax lets take even numbers of tokens alone. With a class token most are odd: one more
    is put behind them, which nobody looks at."""
    tokens = query.shape[1]
    if tokens % 2 == 0:
        return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")
    lengths = jnp.full(query.shape[0], tokens, jnp.int32)
    seen = jax.nn.dot_product_attention(
        *(jnp.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0))) for x in (query, key, value)),
        query_seq_lengths=lengths,
        key_value_seq_lengths=lengths,
        implementation="cudnn",
    )
    return seen[:, :tokens]
