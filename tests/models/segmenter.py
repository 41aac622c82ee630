"""A U-Net from images to the maps of its output layers: what tests of its parts run."""

import functools

import jax
import jax.numpy as jnp

from jaxssl.models.heads import PixelHeads


def segmenter(options, outputs, scales, dtype=jnp.float32, rows=1):
    """Encoder, decoder and output layers, each called with (input, train)."""
    return {
        "encoder": options.encoder(dtype, rows),
        "decoder": options.decoder(dtype, rows),
        "head": PixelHeads(outputs, scales, dtype),
    }


def initialise(parts, images):
    """Variables of each part, the input of one being the output of the one before."""
    variables, x = {}, images
    for seed, (name, part) in enumerate(parts.items()):
        x, variables[name] = part.init_with_output(jax.random.key(seed), x, False)
    return variables


def run(parts, variables, images, train):
    """The maps of the head and the embedding, compiled once."""
    return _run(tuple(parts.items()), variables, images, train)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _run(parts, variables, images, train):
    x, embedding = images, None
    for name, part in parts:
        x, _ = part.apply(variables[name], x, train, mutable=["moments"])
        embedding = x.embedding if name == "encoder" else embedding
    return x, embedding


def params_of(variables):
    return {name: variables[name]["params"] for name in variables}
