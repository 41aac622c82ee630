"""Every method at its smallest, for the contract kit: the recipes' `tiny` variants, one on a ViT, and the toy."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import shallow
import toy

from jaxssl import recipe
from jaxssl.methods.base import Method, build
from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT

TOY = recipe.Recipe(name="toy", model=toy.ToyModel(), method=toy.Options(), train=recipe.Train(batch=32, steps=4))
VIT = ViT(patch=4, width=16, depth=2, heads=2, pool="mean", registers=2, drop_path=0.4, remat=True, scan=True)
"""Tokens of no patch, branches left out at random, blocks looped over and recomputed. The mean of the patches differs
between images from the start; class tokens begin nearly equal, and a loss of differences would enlarge rounding."""
OTHERS = {
    "simclr:tiny_vit": lambda case: replace(case, model=VIT),
    "byol:normalised": lambda case: replace(case, method=replace(case.method, projector_norm=True)),
    "segment:batch_dice": lambda case: replace(case, method=replace(case.method, dice="batch")),
    "mae:normalised": lambda case: replace(case, method=replace(case.method, normalise=True)),
}
"""What recipes say otherwise by default than their `tiny` variants."""
BACKBONES = {
    "simclr:resnet": ResNet(blocks=(1,), width=4, bottleneck=True, decoder_widths=(2, 2)),
    "simclr:densenet": DenseNet(layers=(1, 1), growth=2, width=4, decoder_widths=(2, 2, 2)),
    "simclr:vgg": VGG(depths=(1, 1), widths=(4, 4), norm=Norm(), decoder_widths=(2, 2)),
}
"""Compared between devices, in float64 only: where the largest of pixels is chosen rounding may choose another. What
else the kit asks of a network tests/models asks of these."""
NAMES = [*recipe.names(), "simclr:tiny_vit", "toy"]
KIT = [*recipe.names(), *OTHERS, "toy"]
"""With those that near-by rounding makes unfit for comparing float32 between devices; float64 tests of their own do."""
OF_ANY_ENCODER = ("simclr", "byol", "byol:normalised", "moco", "pcl", "awcl", "dino")
"""Methods that ask an encoder for its embedding and nothing else: the kit gives them one convolution, for most of its
time goes into compiling networks. Those stand in it with mim, mae, planes, segment, simclr:tiny_vit and `BACKBONES`."""


SPACING = (1.5, 1.25)


def tiny(name: str) -> recipe.Recipe:
    """Images smaller still: fast, and sums over pixels so short that float32 rounds them by little."""
    case = TOY if name == "toy" else recipe.load_recipe(f"{name.partition(':')[0]}:tiny")
    case = OTHERS[name](case) if name in OTHERS else case
    case = replace(case, model=BACKBONES[name]) if name in BACKBONES else case
    return replace(case, data=replace(case.data, layout=replace(case.data.layout, size=(16, 12))))


def quick(name: str) -> recipe.Recipe:
    """The method with as little of a network as shows what the kit asks."""
    case = tiny(name)
    return replace(case, model=shallow.Shallow()) if name in OF_ANY_ENCODER else case


def with_group(case: recipe.Recipe, group: int) -> recipe.Recipe:
    """The case with samples normalised in groups of this size, where they are normalised in groups at all."""
    if case.model.norm is None:
        return case
    model = replace(case.model, norm=replace(case.model.norm, group=group))
    return replace(case, model=model)


def method_of(case: recipe.Recipe, dtype=jnp.float32) -> Method:
    return build(case.method, case.model, replace(case.spec(), classes=4, labels=3, dtype=dtype))


def batch_of(case: recipe.Recipe, size: int = 32, seed: int = 0) -> dict[str, Any]:
    """A batch like the loader's; the first half has neither position nor label nor guests."""
    batch = images_of(case, size, seed)
    if case.data.guests:
        batch["guests"] = guests_of(size, len(case.data.guests))
    if case.data.kinds:
        batch["partners"] = {kind: images_of(case, size, seed + 1 + n) for n, kind in enumerate(case.data.kinds)}
    return batch


def images_of(case: recipe.Recipe, size: int, seed: int) -> dict[str, Any]:
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
        "study": (np.arange(size) // 4).astype(np.int32),
        "cine": (np.arange(size) // 2).astype(np.int32),
        "position": position.astype(np.float32),
        "phase": np.linspace(0, 0.9, size, dtype=np.float32),
        "label": np.where(np.arange(size) < size // 2, -1, np.arange(size) % 3).astype(np.int32),
        "spacing": np.tile(np.array(SPACING, np.float32), (size, 1)),
        "plane": planes_of(case.data.layout.size, size),
        "place": np.arange(size, dtype=np.int32),
    }


def planes_of(shape: tuple[int, int], size: int) -> dict[str, np.ndarray]:
    """A stack of parallel planes, one a sample."""
    x_axis, y_axis = (0.8, 0.6, 0.0), (0.0, 0.0, -1.0)
    origin = np.array([-10.0, 20.0, 15.0]) + 0.5 * np.arange(size)[:, None] * np.cross(x_axis, y_axis)
    fields = {"origin": origin, "x_axis": x_axis, "y_axis": y_axis, "spacing": SPACING, "shape": shape}
    return {name: np.resize(values, (size, np.shape(values)[-1])).astype(np.float32) for name, values in fields.items()}


def guests_of(size: int, count: int) -> dict[str, np.ndarray]:
    """Planes across the stack, through the middle of its images."""
    angles = np.linspace(0.4, 1.4, count)
    x_axis, normal = np.array([0.8, 0.6, 0.0]), np.array([-0.6, 0.8, 0.0])
    across = np.cos(angles)[:, None] * x_axis + np.sin(angles)[:, None] * np.array([0.0, 0.0, -1.0])
    middle = np.array([-10.0, 20.0, 15.0]) + 7 * x_axis + np.array([0.0, 0.0, -11.0])
    one = {
        "origin": np.tile(middle, (count, 1)),
        "x_axis": across,
        "y_axis": np.tile(normal, (count, 1)),
        "spacing": np.tile(SPACING, (count, 1)),
        "shape": np.full((count, 2), 16),
        "thickness": np.full(count, 6.0),
    }
    valid = np.repeat(np.arange(size) >= size // 2, count).reshape(size, count)
    return {name: np.repeat(x[None].astype(np.float32), size, axis=0) for name, x in one.items()} | {"valid": valid}


def in_precision(batch: dict[str, Any], precision: str) -> dict[str, Any]:
    """The batch with its floating fields in another type, which is the one that views are made in."""
    return jax.tree.map(lambda x: x.astype(precision) if x.dtype.kind == "f" else x, batch)
