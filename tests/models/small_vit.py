"""A small vision transformer with numbers of its own: what tests of its parts run."""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.models.vit import ViT

TINY = ViT(patch=(4, 2), width=16, depth=3, heads=2, registers=2, layer_scale=0.5, drop_path=0.5)
SIZE = (16, 12)


def filled(path, leaf):
    """Numbers for a leaf that depend on its path and on its layer, and not on whether layers are stacked."""

    def draw(name, shape):
        return 0.3 * np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape) + (path[-1].key == "scale")

    name = jax.tree_util.keystr(path)
    if "['blocks']" not in name:
        return jnp.asarray(draw(name, leaf.shape), leaf.dtype)
    layers = [draw(name.replace("blocks", f"block{layer}"), leaf.shape[1:]) for layer in range(len(leaf))]
    return jnp.asarray(np.stack(layers), leaf.dtype)


def stacked(params):
    """Params of an unrolled network as those of a scanned one."""
    others = {name: leaves for name, leaves in params.items() if not name.startswith("block")}
    blocks = [params[f"block{layer}"] for layer in range(len(params) - len(others))]
    return {**others, "blocks": jax.tree.map(lambda *layers: jnp.stack(layers), *blocks)}


def keys(n):
    return jax.random.split(jax.random.key(7), n)


def images(n=4, size=SIZE, channels=1, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(5).normal(size=(n, *size, channels)), dtype)


@functools.cache
def build_vit(options, dtype=jnp.float32, channels=1):
    """An encoder and its params, drawn by numpy."""
    encoder = options.encoder(dtype, rows=1)
    wide = jnp.promote_types(dtype, jnp.float32)
    shapes = jax.eval_shape(lambda x: encoder.init(jax.random.key(0), x, False), images(1, SIZE, channels, wide))
    return encoder, jax.tree_util.tree_map_with_path(filled, shapes["params"])


@functools.partial(jax.jit, static_argnums=(0, 3))
def run(encoder, params, x, train, sample_keys=None, **masks):
    return encoder.apply({"params": params}, x, train, sample_keys, **masks)
