"""Safetensors files, read and written: named arrays and a little text, and nothing that could run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jaxssl.errors import UserError
from jaxssl.files import beside

DIGEST = "sha256"
"""The name in a file's metadata under which `write_file` leaves a digest: the format itself has none."""
TO_FLOAT32 = ("float16", "bfloat16")
PICKLED = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".tar", ".npz", ".npy")
KINDS = "fbiu"
"""Of numpy: floating (in which it counts no bfloat16), boolean, integer."""


@dataclass(frozen=True, eq=False)
class File:
    """What a safetensors file holds."""

    path: Path
    tensors: dict[str, np.ndarray]
    """In the order of their names; half precision has become float32."""
    metadata: dict[str, str]
    sha256: str
    """Of the file's bytes."""


def read_file(path: str | Path) -> File:
    """Read a file whole; one that is missing, of another format, damaged or not finite is refused."""
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"There is no weights file {path}: no weights are downloaded here; take a release of torchvision or timm "
            f"(or of DINO, DINOv2, MAE) and write it as safetensors where torch is installed ({_CONVERT})."
        )
    _refuse_pickles(path)
    try:
        with safe_open(path, framework="np") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    # safetensors finds types by name in numpy, which has none of 8 bits or fewer.
    except (SafetensorError, AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors ({_brief(error)}): it is damaged, incomplete or in another format; "
            "copy it again, or write it again."
        ) from error
    if not tensors:
        raise UserError(f"{path} holds no tensors; name a file with the weights of a network.")
    if metadata.get(DIGEST, digest := _digest(tensors, metadata)) != digest:
        raise UserError(f"{path} is damaged: its contents differ from their own digest; copy it again.")
    tensors = {name: _readable(path, name, tensor) for name, tensor in tensors.items()}
    with path.open("rb") as file:
        return File(path, tensors, metadata, hashlib.file_digest(file, "sha256").hexdigest())


def write_file(path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Path:
    """Write beside and rename, so that a reader sees the old file or the new one; a digest joins the metadata."""
    path = Path(path)
    # The library writes the memory of an array as it lies, whatever its strides say.
    plain = {name: _as_it_reads(np.asarray(tensors[name])) for name in sorted(tensors)}
    metadata = {name: text for name, text in metadata.items() if name != DIGEST}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside(path) as unfinished:
            save_file(plain, unfinished, {**metadata, DIGEST: _digest(plain, metadata)})
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be written ({_brief(error)}); choose another place.") from error
    return path


_CONVERT = '`safetensors.torch.save_file(model.state_dict(), "NAME.safetensors")`'


def _refuse_pickles(path: Path) -> None:
    """Archives and pickles are known by their beginning; in a safetensors file JSON begins after eight bytes."""
    with path.open("rb") as file:
        begin = file.read(9)
    if begin[8:] != b"{" and (begin[:2] in (b"PK", b"\x80\x02") or path.suffix in PICKLED):
        raise UserError(
            f"{path} is no safetensors file, and pickles and archives are never opened here: load it where torch is "
            f"installed and write it with {_CONVERT}."
        )


def _readable(path: Path, name: str, tensor: np.ndarray) -> np.ndarray:
    if tensor.dtype.name in TO_FLOAT32:
        tensor = tensor.astype(np.float32)
    if tensor.dtype.kind not in KINDS:
        raise UserError(f"{path}: tensor {name!r} is {tensor.dtype.name}, which no weights here are; make it float32.")
    if not np.isfinite(tensor).all():
        raise UserError(f"{path}: tensor {name!r} has values that are not finite; choose another file.")
    return tensor


def _as_it_reads(array: np.ndarray) -> np.ndarray:
    """The same values in the machine's order of bytes and one after the other."""
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def _digest(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Of names, types, shapes, values and the other metadata."""
    found = hashlib.sha256()
    told = {name: text for name, text in metadata.items() if name != DIGEST}
    found.update(json.dumps(told, sort_keys=True).encode())
    for name, tensor in tensors.items():
        found.update(json.dumps([name, tensor.dtype.name, tensor.shape]).encode())
        found.update(tensor.tobytes())
    return found.hexdigest()


def _brief(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
