"""Convolutional networks by their definitions, in numpy and float64: what the modules are compared with."""

import math
import zlib

import jax
import jax.numpy as jnp
import numpy as np

EPSILON = 1e-5


def convolved(x, layer, stride=1):
    """Convolution padded by half the kernel at both ends, as torch has it."""
    kernel = np.asarray(layer["kernel"], np.float64)
    pad = kernel.shape[0] // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))[:, ::stride, ::stride]
    return np.einsum("bhwcij,ijcd->bhwd", windows, kernel)


def max_pooled(x):
    """3x3, stride 2, one pixel of nothing around the image."""
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2].max((-1, -2))


def mean_pooled(x):
    """2x2, stride 2; an odd last row or column is left out."""
    return (x[:, :-1:2, :-1:2] + x[:, 1::2, :-1:2] + x[:, :-1:2, 1::2] + x[:, 1::2, 1::2]) / 4


def rectified(x):
    return np.maximum(x, 0)


def scaled(x, mean, var, layer):
    return (x - mean) / np.sqrt(var + EPSILON) * np.float64(layer["scale"]) + np.float64(layer["bias"])


def by_statistics(x, layer):
    """Batch normalisation in evaluation."""
    return scaled(x, np.float64(layer["mean"]), np.float64(layer["var"]), layer)


def by_batches(rows):
    """Batch normalisation in training, of each `rows` images apart."""

    def normalised(x, layer):
        batches = np.split(x, len(x) // rows)
        return np.concatenate([scaled(b, b.mean((0, 1, 2)), b.var((0, 1, 2)), layer) for b in batches])

    return normalised


def by_channels(groups):
    """Group normalisation."""

    def normalised(x, layer):
        result = np.empty_like(x)
        for own in np.split(np.arange(x.shape[-1]), groups):
            part, names = x[..., own], ("scale", "bias")
            mean, var = part.mean((1, 2, 3), keepdims=True), part.var((1, 2, 3), keepdims=True)
            result[..., own] = scaled(part, mean, var, {name: layer[name][own] for name in names})
        return result

    return normalised


def merged(variables):
    """Params with the running statistics, if any, beside them."""

    def join(params, statistics):
        return {k: join(v, statistics.get(k, {})) if isinstance(v, dict) else v for k, v in params.items()} | {
            k: v for k, v in statistics.items() if not isinstance(v, dict)
        }

    return join(variables["params"], variables.get("statistics", {}))


def drawn(shapes):
    """Numbers for all variables: kernels that keep sizes, scales and variances about 1, everything else about 0."""

    def fill(path, leaf):
        draw = np.random.default_rng(zlib.crc32(str(path).encode())).normal(size=leaf.shape)
        name = path[-1].key
        if name == "kernel":
            return jnp.asarray(draw * np.sqrt(2 * leaf.shape[-1] / draw.size), leaf.dtype)
        return jnp.asarray((name in ("scale", "var")) + 0.1 * draw, leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def variables_of(encoder, images):
    """Variables drawn by numpy, so that there is nothing to compile."""
    return drawn(jax.eval_shape(lambda: encoder.init(jax.random.key(0), images, False)))


def count(params):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def halved_size(side, kernel):
    """Pixels after a stride of 2 and padding by half the kernel."""
    return (side + 2 * (kernel // 2) - kernel) // 2 + 1
