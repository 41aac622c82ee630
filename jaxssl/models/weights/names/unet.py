"""U-Net, which torchvision and timm have not: names of our own."""

import re

from jaxssl.models.weights.names.own import blocks
from jaxssl.models.weights.names.rows import Shapes, Table

ROWS = blocks("encoder")


def network(shapes: Shapes) -> str:
    """The number of levels."""
    levels = {match[1] for name in shapes if (match := re.match(r"encoder\.level(\d+)\.first\.", name))}
    return f"U-Net of {len(levels)} levels"


TABLE = Table(rows=lambda shapes: ROWS, telltale=r"encoder\.level0\.first\.conv\.", network=network)
