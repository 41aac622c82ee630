"""Attention rollout (Abnar and Zuidema 2020): from which patches the attention of all layers comes."""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxssl.evaluate.saliency.gradients import on_grid
from jaxssl.methods.base import Batch, Method, Tree
from jaxssl.models.transformer import Attention
from jaxssl.numerics import island


@partial(jax.jit, static_argnums=(0, 4, 5))
def rollout(
    method: Method,
    variables: dict[str, Tree],
    batch: Batch,
    target: Int[Array, " batch"],
    patch: tuple[int, int],
    read: Literal["token", "patches"],
) -> Float[Array, "batch image y x"]:
    """Attention rollout from what the classes are read from, the class token or the mean of the patches, drawn to the
    image's size.

    The same for every class. `patch` is the height and width of a patch; what came through class token and registers
    is left out. The method is to run its blocks one by one (neither `scan` nor `remat`), or attention cannot be seen.
    """
    del target
    assert method.predict is not None  # noqa: S101 - for classifiers
    predict = method.predict
    samples, height, width, _ = batch["image"].shape
    rows, columns = height // patch[0], width // patch[1]
    layers, _ = attention_in(lambda: predict(variables, batch))
    images, _, tokens, _ = layers[0].shape
    patches = slice(tokens - rows * columns, tokens)
    start = (
        jnp.zeros(tokens).at[0].set(1.0) if read == "token" else jnp.zeros(tokens).at[patches].set(1 / rows / columns)
    )
    seen = rolled(layers, jnp.broadcast_to(start, (images, tokens)))[:, patches]
    return on_grid(seen.reshape(samples, images // samples, rows, columns), batch)


def rolled(
    layers: Sequence[Float[Array, "rows head token token"]], start: Float[Array, "rows token"]
) -> Float[Array, "rows token"]:
    """start (A_L + I)/2 ... (A_1 + I)/2 with A the mean over heads: the share of each token of the first layer.

    Half of what a block gives is taken to have come past its attention. Shares that sum to 1 still do.
    """

    def before(shares: jax.Array, weights: jax.Array) -> jax.Array:
        return (jnp.einsum("rq,rqk->rk", shares, weights.mean(axis=1)) + shares) / 2

    return reduce(before, reversed(layers), start)


def attention_in(run: Callable[[], Any]) -> tuple[list[Float[Array, "rows head token token"]], Any]:
    """The attention weights of each layer of all that `run` computes, first to last, and what it gives.

    They are computed again from queries and keys, since the kernel that a network attends by may never hold them.
    """
    layers: list[jax.Array] = []

    def look(compute: Callable[..., Any], given: Any, options: Any, context: nn.module.InterceptorContext) -> Any:
        output, module = compute(*given, **options), context.module
        if module.name == "qkv" and isinstance(module.parent, Attention):
            layers.append(_weights(output, module.parent.heads))
        return output

    with nn.intercept_methods(look):
        result = run()
    return layers, result


def _weights(qkv: Float[Array, "rows token joined"], heads: int) -> Float[Array, "rows head token token"]:
    """softmax(q k^T / sqrt(dim)) for each head."""
    parted = island(qkv).reshape(*qkv.shape[:2], 3, heads, -1)
    query, key = parted[:, :, 0], parted[:, :, 1]
    return jax.nn.softmax(jnp.einsum("rqhd,rkhd->rhqk", query, key) / query.shape[-1] ** 0.5)
