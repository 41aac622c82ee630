"""What network some names and shapes belong to, in words: "ResNet-50"."""

import re
from collections.abc import Mapping

from jaxssl.models.weights import names
from jaxssl.models.weights.names.prefix import cuts
from jaxssl.models.weights.names.rows import Table


def likeness(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """What these tensors look like, whatever stands before their names; none where it is no backbone known here."""
    for table in map(names.table, names.BACKBONES):
        for name in shapes:
            for prefix, rest in cuts(name):
                if re.match(table.telltale, table.canonical(rest)):
                    return network(table, shapes, prefix)
    return None


def network(table: Table, shapes: Mapping[str, tuple[int, ...]], prefix: str = "") -> str | None:
    """What a table calls the tensors that have this prefix."""
    mine = {name: shape for name, shape in shapes.items() if name.startswith(prefix)}
    return table.network({table.canonical(name.removeprefix(prefix)): shape for name, shape in mine.items()})
