"""DenseNet, which torchvision and timm call alike; the first releases of torchvision have one dot more."""

import re
from typing import Any

from jaxssl.models.weights.names.built import Built, norm_layer
from jaxssl.models.weights.names.own import REPRESENTATION
from jaxssl.models.weights.names.rows import CONVOLUTION, Row, Shapes, Table

LAYER = "features.denseblock{level.next}.denselayer{layer.next}"
ROWS = (
    Row("stem", "features.conv0", CONVOLUTION),
    Row("stem_norm", "features.norm0"),
    Row("level{level}/layer{layer}/norm{number}", f"{LAYER}.norm{{number}}"),
    Row("level{level}/layer{layer}/conv{number}", f"{LAYER}.conv{{number}}", CONVOLUTION),
    Row("level{level}/transition_norm", "features.transition{level.next}.norm"),
    Row("level{level}/transition", "features.transition{level.next}.conv", CONVOLUTION),
    REPRESENTATION,
)
DEPTHS: dict[tuple[int, ...], int] = {
    (6, 12, 24, 16): 121,
    (6, 12, 32, 32): 169,
    (6, 12, 48, 32): 201,
    (6, 12, 36, 24): 161,
}


def rows(shapes: Shapes) -> tuple[Row, ...]:
    """The last normalisation is counted on from the levels: features.norm5 after four."""
    levels = {path.partition("/")[0] for path in shapes if path.startswith("level")}
    return (*ROWS, Row("norm", f"features.norm{len(levels) + 1}"))


def network(shapes: Shapes) -> str:
    """The published depth, or the layers of each level."""
    found = {
        match.groups() for name in shapes if (match := re.match(r"features\.denseblock(\d+)\.denselayer(\d+)\.", name))
    }
    levels = sorted({int(level) for level, _ in found})
    layers = tuple(sum(int(of) == level for of, _ in found) for level in levels)
    return f"DenseNet-{DEPTHS[layers]}" if layers in DEPTHS else f"DenseNet of {'-'.join(map(str, layers))} layers"


def built(model: Any, shapes: Shapes, size: tuple[int, int]) -> Built | None:
    """timm has four levels, and begins with twice the growth."""
    norm = norm_layer(model.norm, shapes)
    if norm is None or model.width != 2 * model.growth or len(model.layers) != 4:
        return None
    return Built("densenet.DenseNet", {"growth_rate": str(model.growth), "block_config": str(model.layers), **norm})


TABLE = Table(
    rows=rows,
    telltale=r"features\.denseblock1\.",
    network=network,
    built=built,
    dialects=((r"(denselayer\d+\.(?:norm|conv))\.(\d\.)", r"\1\2"),),
)
