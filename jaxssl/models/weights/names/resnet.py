"""ResNet, which torchvision and timm call alike."""

import re
from typing import Any

from jaxssl.models.weights.names.built import Built, norm_layer
from jaxssl.models.weights.names.own import REPRESENTATION
from jaxssl.models.weights.names.rows import CONVOLUTION, Row, Shapes, Table

BLOCK = "level{level}/block{block}"
ROWS = (
    Row("stem", "conv1", CONVOLUTION),
    Row("stem_norm", "bn1"),
    Row(f"{BLOCK}/conv{{number}}", "layer{level.next}.{block}.conv{number}", CONVOLUTION),
    Row(f"{BLOCK}/norm{{number}}", "layer{level.next}.{block}.bn{number}"),
    Row(f"{BLOCK}/shortcut", "layer{level.next}.{block}.downsample.0", CONVOLUTION),
    Row(f"{BLOCK}/shortcut_norm", "layer{level.next}.{block}.downsample.1"),
    REPRESENTATION,
)
DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}


def network(shapes: Shapes) -> str:
    """The published depth, or the blocks of each level."""
    found = {match.groups() for name in shapes if (match := re.match(r"layer(\d+)\.(\d+)\.conv1\.", name))}
    levels = sorted({int(level) for level, _ in found})
    blocks = tuple(sum(int(of) == level for of, _ in found) for level in levels)
    bottleneck = "layer1.0.conv3.weight" in shapes
    kind = f"ResNet of {'-'.join(map(str, blocks))} {'bottlenecks' if bottleneck else 'blocks'}"
    depth = DEPTHS.get((blocks, bottleneck))
    return kind if depth is None else f"ResNet-{depth}"


def built(model: Any, shapes: Shapes, size: tuple[int, int]) -> Built | None:
    """timm has four levels, of which the first is of 64 channels."""
    norm = norm_layer(model.norm, shapes)
    if norm is None or model.width != 64 or len(model.blocks) != 4:
        return None
    block = "Bottleneck" if model.bottleneck else "BasicBlock"
    return Built("resnet.ResNet", {"block": f"timm.models.resnet.{block}", "layers": str(model.blocks), **norm})


TABLE = Table(rows=lambda shapes: ROWS, telltale=r"layer1\.0\.conv1\.", network=network, built=built)
