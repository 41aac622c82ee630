"""Every method at its smallest, for the contract kit: the recipes' `tiny` variants, one on a ViT, and the toy."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import toy

from jaxssl import recipe
from jaxssl.methods.base import Method, Spec, build
from jaxssl.models.vit import ViT

TOY = recipe.Recipe(name="toy", model=toy.ToyModel(), method=toy.Options(), train=recipe.Train(batch=32, steps=4))
VIT = ViT(patch=4, width=16, depth=2, heads=2, pool="mean", registers=2, drop_path=0.4, remat=True, scan=True)
"""Tokens of no patch, branches left out at random, blocks looped over and recomputed. The mean of the patches differs
between images from the start; class tokens begin nearly equal, and a loss of differences would enlarge rounding."""
NAMES = [*recipe.names(), "simclr:tiny_vit", "toy"]


def tiny(name: str) -> recipe.Recipe:
    """Images smaller still: fast, and sums over pixels so short that float32 rounds them by little."""
    method, _, vit = name.partition(":")
    case = TOY if name == "toy" else recipe.load_recipe(f"{method}:tiny")
    case = replace(case, model=VIT) if vit else case
    return replace(case, data=replace(case.data, layout=replace(case.data.layout, size=(16, 12))))


def with_group(case: recipe.Recipe, group: int) -> recipe.Recipe:
    """The case with samples normalised in groups of this size, where they are normalised in groups at all."""
    if case.model.norm is None:
        return case
    model = replace(case.model, norm=replace(case.model.norm, group=group))
    return replace(case, model=model)


def method_of(case: recipe.Recipe, dtype=jnp.float32) -> Method:
    return build(case.method, case.model, Spec(case.data.layout.size, channels=1, classes=4, dtype=dtype))


def batch_of(case: recipe.Recipe, size: int = 32, seed: int = 0) -> dict[str, np.ndarray]:
    """A batch like the loader's; half of the samples have no position, all of them in its first half."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 1500, (size, *case.data.layout.size, 1)).astype(np.uint16)
    smooth = image.reshape(size, -1).mean(1) + np.arange(size)
    position = np.where(np.arange(size) < size // 2, np.nan, np.linspace(0, 1, size))
    return {
        "image": image + (100 * smooth[:, None, None, None] % 400).astype(np.uint16),
        "mask": random.integers(0, 4, (size, *case.data.layout.size)).astype(np.uint8),
        "mean": np.full(size, 900, np.float32),
        "std": np.full(size, 400, np.float32),
        "id": np.arange(size, dtype=np.int32),
        "subject": (np.arange(size) // 4).astype(np.int32),
        "position": position.astype(np.float32),
        "label": np.where(np.arange(size) < size // 2, -1, np.arange(size) % 3).astype(np.int32),
        "spacing": np.tile(np.array([1.5, 1.25], np.float32), (size, 1)),
        "place": np.arange(size, dtype=np.int32),
    }


def in_precision(batch: dict[str, np.ndarray], precision: str) -> dict[str, np.ndarray]:
    """The batch with its floating fields in another type, which is the one that views are made in."""
    return {name: x.astype(precision) if x.dtype.kind == "f" else x for name, x in batch.items()}
