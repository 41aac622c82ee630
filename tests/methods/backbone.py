"""A backbone that compiles at once, and a batch for it: what is tested with them are methods, not networks."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxssl.augment.options import Augment
from jaxssl.methods.base import Progress, Spec
from jaxssl.models.features import Features
from jaxssl.models.norm import GroupedBatchNorm, Norm

SIZE = (6, 4)
WIDTH = 5
SPEC = Spec(SIZE, dtype=jnp.float32)
STILL = Augment(
    translation=0, rotation=0, scale=(1, 1), flip=0, noise=0, blur=0, contrast=(1, 1), brightness=0, gamma=(1, 1)
)
"""Views that are the images."""


@dataclass(frozen=True)
class Backbone:
    """A linear layer over all pixels, normalised in groups."""

    norm: Norm = field(default_factory=lambda: Norm(group=4, momentum=0.75))

    @property
    def group(self) -> int:
        return self.norm.group

    def encoder(self, dtype: Any, rows: int) -> nn.Module:
        return Encoder(rows, dtype)


class Encoder(nn.Module):
    rows: int
    dtype: Any

    @nn.compact
    def __call__(self, images, train, keys=None):
        del keys
        linear = nn.Dense(WIDTH, use_bias=False, dtype=self.dtype, param_dtype=self.dtype, name="layer")
        x = linear(images.reshape(len(images), -1))
        return Features((), nn.tanh(GroupedBatchNorm(self.rows, dtype=self.dtype, name="norm")(x, train=train)))


def encoded(params, views, rows):
    """What the encoder gives in training, in numpy."""
    x = np.float64(views).reshape(len(views), -1) @ np.float64(params["layer"]["kernel"])
    return np.tanh(normalised(x, params["norm"], rows))


def normalised(x, params, rows, epsilon=1e-5):
    """What grouped batch normalisation gives in training."""
    groups = x.reshape(-1, rows, x.shape[-1])
    groups = (groups - groups.mean(1, keepdims=True)) / np.sqrt(groups.var(1, keepdims=True) + epsilon)
    return (groups * np.float64(params["scale"]) + np.float64(params["bias"])).reshape(x.shape)


def projected(params, x, rows=None):
    """What a projector of two layers gives, normalised in groups of `rows` if any."""
    first, second = ({name: np.float64(leaf) for name, leaf in params[f"layer{i}"].items()} for i in range(2))
    hidden = x @ first["kernel"] + first.get("bias", 0)
    hidden = hidden if rows is None else normalised(hidden, params["norm0"], rows)
    return np.maximum(hidden, 0) @ second["kernel"] + second.get("bias", 0)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def batch_of(size, seed=0, partners=()):
    random = np.random.default_rng(seed)
    batch: dict[str, Any] = {
        "image": random.integers(10, 1000, (size, *SIZE, 1)).astype(np.uint16),
        "mask": random.integers(0, 3, (size, *SIZE)).astype(np.uint8),
        "mean": random.uniform(300, 500, size).astype(np.float32),
        "std": random.uniform(100, 300, size).astype(np.float32),
        "spacing": np.ones((size, 2), np.float32),
        "id": np.arange(size, dtype=np.int32),
        "subject": (np.arange(size) // 2).astype(np.int32),
        "study": np.arange(size, dtype=np.int32),
        "cine": np.arange(size, dtype=np.int32),
        "position": np.linspace(0, 1, size, dtype=np.float32),
        "label": np.full(size, -1, np.int32),
    }
    if partners:
        batch["partners"] = {kind: batch_of(size, seed + 1 + n) for n, kind in enumerate(partners)}
    return batch


def keys_of(size, seed=0):
    return jax.random.split(jax.random.key(seed), size)


def progress_at(step, steps=100):
    return Progress(jnp.int32(step), steps, jnp.float32(0))


def shaken(tree, seed=0):
    """Other numbers in the place of every leaf, so that no scale is 1 and no bias 0."""
    leaves, structure = jax.tree.flatten(tree)
    random = np.random.default_rng(seed)
    return structure.unflatten([jnp.asarray(random.normal(size=leaf.shape), leaf.dtype) for leaf in leaves])


def descended(loss, params, rate=0.5, steps=60):
    """The first and the last loss of plain gradient descent, and where it ends."""

    @jax.jit
    def descend(params):
        value, gradient = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda p, g: p - rate * g, params, gradient)

    first, params = descend(params)
    for _ in range(steps):
        last, params = descend(params)
    return first, last, params
