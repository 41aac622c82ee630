"""The contract of a method: pure functions that one generic step runs on any number of devices and micro-batches.

A method file has its own `Options` (a frozen dataclass) and `build(options, model, spec) -> Method`. The options' class
names the file, so a recipe that holds the options finds its method without a registry.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

Tree = Any
Batch = Mapping[str, Any]
PIXELS = frozenset({"image", "mask", "partners"})


class Progress(NamedTuple):
    """Where training stands: the step about to be taken, how many there are, and the epoch as a fraction."""

    step: jax.Array
    steps: int
    epoch: jax.Array


class Seen(NamedTuple):
    """What `forward` makes of a batch.

    outputs: floating, sample by sample (leading axis), differentiated: embeddings, reconstructions, logits.
    fixed: sample by sample, not differentiated: targets, masks, teacher features.
    moments: sums over samples for normalisation statistics, so that those of micro-batches add.
    """

    outputs: Tree
    fixed: Tree
    moments: Tree


def all_trainable(params: Tree, progress: Progress) -> Tree:
    """The default of `Method.trainable`: every leaf is trained at every step."""
    del progress
    return jax.tree.map(lambda _: True, params)


def no_pictures(views: Tree, seen: Seen) -> dict[str, jax.Array]:
    """The default of `Method.pictures`: nothing to show."""
    del views, seen
    return {}


@dataclass(frozen=True)
class Method:
    """Pure functions; `params` are trained, `carry` is everything else that lives on (teacher, queue, statistics).

    Params, and `carry["statistics"]` where there are running statistics, are dicts by part ("encoder", "decoder",
    "head"), which is what lets a run be started from the parts of another.

    views(keys, batch, progress) -> views               on the device, one key a sample
    init(key, views) -> params, carry                   of the views nothing but their shapes and types is used
    forward(params, carry, views, keys, progress) -> Seen
    objective(params, carry, seen, batch, progress) -> loss, statistics
        The only place where samples meet. It is given the batch without its pixels.
        `statistics["monitor"]`, if there, is a dict of scalars for the log.
    update(params, carry, statistics, moments, progress) -> carry        once an optimiser step, with the new params
    parts(params, carry) -> {"encoder": variables, ...}                  what evaluation, export and initialisation use
    trainable(params, progress) -> tree of booleans; False leaves get no update and their moments stay
    pictures(views, seen) -> {"views/first": [n, y, x], ...}             what a report shows of a batch, in 0..1
    averaged: whether what `parts` hands on is an average over time already

    Methods that learn from labels say what their task is, and have

    predict(parts, batch) -> class probabilities           of pixels [batch, y, x, class], or of samples [batch, class]

    A classifier that reads its classes from the last map of an encoder, which all images of a sample share, also has
    the two steps of it, for explanations; `predict` is the softmax of one after the other:

    maps(parts, batch) -> [batch, image, y, x, channel]    of the sample's image, then of its partners in the order of
        `Spec.partners`; a partner of another subject, which lends its background in training, has none
    logits(parts, maps) -> [batch, class]
    """

    views: Callable[[jax.Array, Batch, Progress], Tree]
    init: Callable[[jax.Array, Tree], tuple[Tree, Tree]]
    forward: Callable[[Tree, Tree, Tree, jax.Array, Progress], Seen]
    objective: Callable[[Tree, Tree, Seen, Batch, Progress], tuple[jax.Array, dict[str, Any]]]
    update: Callable[[Tree, Tree, Tree, Tree, Progress], Tree]
    parts: Callable[[Tree, Tree], dict[str, Tree]]
    trainable: Callable[[Tree, Progress], Tree] = all_trainable
    pictures: Callable[[Tree, Seen], dict[str, jax.Array]] = no_pictures
    averaged: bool = False
    task: Literal["", "segmentation", "classification"] = ""
    predict: Callable[[dict[str, Tree], Batch], jax.Array] | None = None
    maps: Callable[[dict[str, Tree], Batch], jax.Array] | None = None
    logits: Callable[[dict[str, Tree], jax.Array], jax.Array] | None = None


@dataclass(frozen=True)
class Spec:
    """What a method must know of the data and of the arithmetic before it is built."""

    size: tuple[int, int]
    channels: int = 1
    classes: int = 0
    """Of the masks; 0 without masks."""
    guests: int = 0
    """Planes of other views that come with each image."""
    partners: tuple[str, ...] = ()
    """Kinds of images that come with each image."""
    labels: int = 0
    """Values of the label that comes with each image; 0 without one."""
    label_counts: tuple[int, ...] = ()
    """How many of those that are trained on have each value; empty where nobody has counted."""
    positions: bool = True
    """Whether any image that is trained on knows its place between base and apex."""
    dtype: Any = jnp.float32


def build(options: Any, model: Any, spec: Spec) -> Method:
    """Build the method that these options belong to: the one in the file that defines their class."""
    return importlib.import_module(type(options).__module__).build(options, model, spec)


def metadata(batch: Batch) -> dict[str, Any]:
    """The batch as an objective sees it: ids, labels and positions, no pixels."""
    return {name: value for name, value in batch.items() if name not in PIXELS}


def for_display(images: jax.Array, like: jax.Array | None = None) -> jax.Array:
    """The first channel of [n, y, x, c], scaled to 0..1 between the extremes of each image or of its pair in `like`."""
    reference = images if like is None else like
    low = reference.min(axis=(1, 2, 3), keepdims=True)
    high = reference.max(axis=(1, 2, 3), keepdims=True)
    scaled = (images - low) / jnp.maximum(high - low, 1e-6)
    return jnp.clip(scaled, 0, 1)[..., 0].astype(jnp.float32)
