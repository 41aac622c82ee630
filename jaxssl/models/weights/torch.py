"""A network in torch's names and layout, out and in: torch itself is not needed."""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxssl.models.weights.files import File
from jaxssl.models.weights.likeness import likeness
from jaxssl.models.weights.names import table_of
from jaxssl.models.weights.names.own import blocks, own_place
from jaxssl.models.weights.names.prefix import common_prefix
from jaxssl.models.weights.names.rows import Place, Shapes, Table
from jaxssl.models.weights.paths import Tree, abstract, by_path, unrolled
from jaxssl.models.weights.taken import OTHER_FORM, Taken, Translation, settle

ENCODER = "encoder"
OWN = f"{ENCODER}/params/"
ASIDE = (
    (r"(.*\.)?num_batches_tracked", "a counter that nothing here uses"),
    (r"decoder_.*", "the decoder of a pretext"),
    (r"(fc|classifier|heads?|head_dist|last_linear|pre_logits)\..*", "a classifier, or a head of a pretext"),
    (r"(projector|projection\w*|predictor|prediction\w*|prototypes)\..*|queue\w*|center", "a head of a pretext"),
    (r"representation\..*", OTHER_FORM),
)
"""Patterns of names that no encoder here has a place for, and what they are."""


class Tensors(NamedTuple):
    """Arrays in torch's names and layout, and what a file's metadata must say beside them."""

    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]


def to_torch(model: Any, variables: Mapping[str, Tree], size: tuple[int, int]) -> Tensors:
    """The variables of some parts ("encoder", "decoder", "head") of a network with these options, for torch.

    An encoder is named as in timm (ResNet, DenseNet, VGG, ViT; U-Nets as here, `encoder.level0.first.conv.weight`) and
    comes without a classifier; every other part is named as here. `size` is that of the images [y, x]: it says on what
    grid a ViT's fixed positions are written out.
    """
    table, leaves = table_of(model), by_path(unrolled(variables))
    places = _places(table, {path: leaf.shape for path, leaf in leaves.items()})
    tensors = {place.name: place.out(leaves[path]) for path, place in places.items()}
    if table is None or table.joined is None or ENCODER not in variables:
        return Tensors(tensors, {})
    own = {name: np.asarray(leaves[OWN + name]) for name in table.joined.ours if OWN + name in leaves}
    joined, metadata = table.joined.out(model, own, size)
    return Tensors(tensors | joined, metadata)


def from_torch(model: Any, file: File, fresh: Mapping[str, Tree]) -> Taken:
    """The parts of `fresh` as a file in torch's names has them, blocks unrolled, fitted in shape and type.

    `fresh` has the variables of a network with these options, {"encoder": {"params": ..., "statistics": ...}, ...}, or
    shapes and types in their place. An encoder that is not filled, or a file that holds more of one, is refused.
    """
    table, fresh = table_of(model), unrolled(abstract(fresh))
    shapes = {path: leaf.shape for path, leaf in by_path(fresh).items()}
    places = _places(table, shapes)
    found = _translate(model, table, file, places, shapes)
    here = {place.name: place.shape(shapes[path]) for path, place in places.items()}
    name = table.network(here) if table else None
    return settle(found, fresh, str(file.path), name or type(model).__name__)


def _translate(model: Any, table: Table | None, file: File, places: Mapping[str, Place], shapes: Shapes) -> Translation:
    """The arrays of a file by path, and what each of its tensors is."""
    joined, canonical = (table.joined, table.canonical) if table else (None, str)
    paths = {place.name: path for path, place in places.items()}
    prefix = common_prefix(file.tensors, {*paths, *(joined.theirs if joined else ())}, canonical)
    short = {name: canonical(name[len(prefix) :]) for name in file.tensors if name.startswith(prefix)}
    found = Translation(
        tensors=file.tensors,
        arrays={},
        tensor_of={path: place.name for path, place in places.items()},
        looks_like=likeness({name: tensor.shape for name, tensor in file.tensors.items()}),
        left={name: f"outside {prefix}" for name in file.tensors if name not in short},
    )
    together: dict[str, str] = {}
    asked = {path.partition("/")[0] for path in shapes}
    for name, here in short.items():
        if here in paths and paths[here] not in found.arrays:
            path = paths[here]
            found.arrays[path], found.tensor_of[path] = places[path].back(file.tensors[name]), name
        elif why := _aside(here, short.values(), asked):
            found.left[name] = why
        elif joined and here in joined.theirs and here not in together:
            together[here] = name
        else:
            found.unknown[name] = _as_here(table, here, shapes)
    if joined:
        found.tensor_of.update({OWN + path: together.get(name, name) for path, name in joined.ours.items()})
    if joined and together:
        tensors = {here: file.tensors[name] for here, name in together.items()}
        arrays, changed, left = joined.back(model, _of_encoder(shapes), tensors, file.metadata, str(file.path))
        found.arrays.update({OWN + path: array for path, array in arrays.items()})
        found.changed.update({together[here]: how for here, how in changed.items()})
        found.left.update({together[here]: why for here, why in left.items()})
    return found


def _places(table: Table | None, shapes: Shapes) -> dict[str, Place]:
    """What torch calls each of these paths, those aside that it has together with others."""
    of_encoder = _of_encoder(shapes)
    rows = {ENCODER: table.rows(of_encoder) if table and of_encoder else ()}
    places = {}
    for path, shape in shapes.items():
        part, short = path.partition("/")[0], _short(path)
        if part == ENCODER and table and table.joined and short in table.joined.ours:
            continue
        found = (row.place(short) for row in rows.get(part, blocks(part)))
        places[path] = next((place for place in found if place), None) or own_place(part, short, shape)
    return places


def _as_here(table: Table | None, name: str, shapes: Shapes) -> str:
    """The path that a tensor of an encoder would have, were there a place for it; its name where none is known."""
    paths = (row.path(name) for row in (table.rows(_of_encoder(shapes)) if table else ()))
    return next((path for path in paths if path), name)


def _of_encoder(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {_short(path): shape for path, shape in shapes.items() if path.startswith(f"{ENCODER}/")}


def _short(path: str) -> str:
    """A path without its part and without "params" or "statistics"."""
    return path.split("/", 2)[2]


def _aside(name: str, names: Collection[str], asked: Collection[str]) -> str | None:
    """Why a tensor of this name is of no use to the parts asked for, if it is known."""
    if name.startswith("decoder.") and "decoder" not in asked:
        return "a part that is not asked for"
    if name == "mask_token" and any(other.startswith("decoder_") for other in names):
        return "the decoder of a pretext"
    return next((why for pattern, why in ASIDE if re.fullmatch(pattern, name)), None)
