"""Files of our own: every part of a run under its own paths, `encoder/params/level0/first/conv/kernel`."""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxssl.models.fit import STACKED
from jaxssl.models.weights.files import File
from jaxssl.models.weights.paths import KINDS, Tree, abstract, by_path, nested, unrolled
from jaxssl.models.weights.taken import Taken, Translation, settle


def to_native(variables: Mapping[str, Tree]) -> dict[str, np.ndarray]:
    """The variables of some parts by path, as they are."""
    return {path: np.asarray(leaf) for path, leaf in by_path(variables).items()}


def is_native(file: File) -> bool:
    """Whether its names are paths of ours."""
    return all(name.split("/")[1:2] and name.split("/")[1] in KINDS for name in file.tensors)


def parts_in(file: File) -> list[str]:
    """The parts that a native file holds."""
    return sorted({name.partition("/")[0] for name in file.tensors})


def from_native(model: Any, file: File, fresh: Mapping[str, Tree]) -> Taken:
    """The parts of `fresh` as this file has them, blocks unrolled; see `from_torch`."""
    fresh = unrolled(abstract(fresh))
    given = by_path(unrolled(nested({name: leaf for name, leaf in file.tensors.items() if _part(name) in fresh})))
    wanted = by_path(fresh)
    tensor_of = {path: path for path in wanted} | {path: _stored(path, file) for path in given}
    unknown = [path for path in given if path not in wanted and not path.endswith("/mask_token")]
    found = Translation(
        tensors=file.tensors,
        arrays={path: leaf for path, leaf in given.items() if path not in unknown},
        tensor_of=tensor_of,
        looks_like=_model(file),
        left={
            name: "a part that init.parts does not ask for, or this method has not"
            for name in file.tensors
            if _part(name) not in fresh
        },
        unknown={path: path for path in unknown},
    )
    return settle(found, fresh, str(file.path), type(model).__name__)


def _part(name: str) -> str:
    return name.partition("/")[0]


def _stored(path: str, file: File) -> str:
    """The tensor that holds an array: stacked blocks lie in one."""
    return path if path in file.tensors else re.sub(r"/block\d+/", f"/{STACKED}/", path, count=1)


def _model(file: File) -> str | None:
    """The class of the model in the recipe that came with the file."""
    try:
        kind = json.loads(file.metadata["recipe"])["model"]["kind"]
    except (KeyError, TypeError, ValueError):
        return None
    return str(kind).partition(":")[2]
