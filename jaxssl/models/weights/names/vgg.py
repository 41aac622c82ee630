"""VGG, whose convolutions torchvision and timm count through, with all that stands between them.

Where the last map is not averaged whole, our representation is what torchvision has as linear layers of its classifier
and timm as convolutions.
"""

import math
import re
from typing import Any

from jaxssl.models.weights.names.built import Built, norm_layer
from jaxssl.models.weights.names.own import REPRESENTATION
from jaxssl.models.weights.names.rows import CONVOLUTION, LINEAR, Row, Shapes, Table

DEPTHS = {8: 11, 10: 13, 13: 16, 16: 19}


def rows(shapes: Shapes) -> tuple[Row, ...]:
    """A convolution is followed by its normalisation, if any, and a ReLU, a level by its pooling; all of them count."""
    found = {match.groups() for path in shapes if (match := re.match(r"level(\d+)/conv(\d+)/", path))}
    normalised = any("/norm" in path for path in shapes)
    here, table, before = 0, _linear(shapes), 0
    for level, number in sorted((int(level), int(number)) for level, number in found):
        here += level - before  # poolings
        table += [
            Row(f"level{level}/conv{number}/conv", f"features.{here}", CONVOLUTION),
            Row(f"level{level}/conv{number}/bias", f"features.{here}.bias", leaf=True),
            Row(f"level{level}/conv{number}/norm", f"features.{here + 1}"),
        ]
        here, before = here + (3 if normalised else 2), level
    return tuple(table)


def _linear(shapes: Shapes) -> list[Row]:
    """Dropout and ReLU count as well: 0, 3, 6."""
    last = max((path for path in shapes if re.fullmatch(r"level\d+/conv\d+/conv/kernel", path)), key=_numbers)
    channels = shapes[last][-1]
    places = shapes.get("representation/layer0/kernel", (channels,))[0] // channels
    if places == 1:
        return [REPRESENTATION]
    side = math.isqrt(places)
    folded = (side, side, channels)
    return [
        Row(f"representation/layer{layer}", f"classifier.{3 * layer}", LINEAR, folded=None if layer else folded)
        for layer in range(sum(path.startswith("representation/") for path in shapes))
    ]


def _numbers(path: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", path)]


def network(shapes: Shapes) -> str:
    """The published depth, which counts three linear layers."""
    layers = [shape for name, shape in shapes.items() if re.fullmatch(r"features\.\d+\.weight", name)]
    count = sum(len(shape) == 4 for shape in layers)
    name = f"VGG-{DEPTHS[count]}" if count in DEPTHS else f"VGG of {count} convolutions"
    return f"{name} with batch normalisation" if len(layers) > count else name


def built(model: Any, shapes: Shapes, size: tuple[int, int]) -> Built | None:
    """A VGG of timm ends in layers of its own, which the file does not have: the embedding is read before these."""
    norm = norm_layer(model.norm, shapes)
    if norm is None:
        return None
    levels = zip(model.depths, model.widths, strict=True)
    layers = str([layer for depth, width in levels for layer in (*[width] * depth, "M")])
    embedding = "model.eval().features(images).mean((2, 3))"
    if model.grid > 1:
        places = f"torch.nn.functional.adaptive_avg_pool2d(model.eval().features(images), {model.grid})"
        embedding = f"{places}.permute(0, 2, 3, 1).flatten(1)"
    return Built("vgg.VGG", {"cfg": layers, **norm}, embedding)


TABLE = Table(
    rows=rows,
    telltale=r"features\.0\.weight$",
    network=network,
    built=built,
    dialects=(
        (r"^pre_logits\.fc1\.", "classifier.0."),
        (r"^pre_logits\.fc2\.", "classifier.3."),
        (r"^head\.fc\.", "classifier.6."),
    ),
)
