"""The Python that builds with timm a network whose names a file has, by the signatures that timm 1.0 publishes."""

from collections.abc import Mapping
from typing import Any

from jaxssl.models.weights.names import table_of

NOT_OURS = "  # without the representation: not the embedding that jaxssl.load gives"


def lines(
    model: Any, shapes: Mapping[str, tuple[int, ...]], channels: int, size: tuple[int, int], file: str
) -> tuple[str, ...]:
    """Imports, and a line each to build the network, to load the file and to embed; none where timm has no such.

    `shapes` are those of the file's tensors, `size` is that of the images [y, x].
    """
    table = table_of(model)
    built = table.built(model, shapes, size) if table else None
    if built is None:
        return ()
    keywords = {**built.keywords, "in_chans": str(channels), "num_classes": "0"}
    call = f"timm.models.{built.builder}({', '.join(f'{name}={value}' for name, value in keywords.items())})"
    partial = ("from functools import partial", "") if "partial(" in call else ()
    torch = ("import torch",) if "torch." in call + built.embedding else ()
    return (
        *partial,
        "import timm",
        *torch,
        "from safetensors.torch import load_file",
        "",
        f"model = {call}",
        f'print(model.load_state_dict(load_file("{file}"), strict=False))  # says what did not fit',
        f"embedding = {built.embedding}{NOT_OURS if getattr(model, 'representation', ()) else ''}",
    )
