"""Tables of names, one file a backbone, called as the file that defines the backbone in `jaxssl/models`."""

import importlib
import importlib.util
from typing import Any

from jaxssl.models.weights.names.rows import Table

MODELS = "jaxssl.models"
BACKBONES = ("resnet", "densenet", "vgg", "vit", "unet")


def table(backbone: str) -> Table:
    """The table of one backbone."""
    return importlib.import_module(f"{__name__}.{backbone}").TABLE


def table_of(model: Any) -> Table | None:
    """The table of the backbone that these options describe; none where it is somebody's own."""
    package, _, backbone = type(model).__module__.rpartition(".")
    return table(backbone) if package == MODELS and backbone in BACKBONES else None
