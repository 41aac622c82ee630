"""A table of arrays in a file for other programs: .npz or .parquet."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxssl.errors import UserError
from jaxssl.files import beside, can_be_made

ENDINGS = (".npz", ".parquet")


def check_place(path: Path) -> None:
    """Refuse a file of a kind that is not written, or where none can be, before the work that fills it."""
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"{path} ends in none of {', '.join(ENDINGS)}; give --out one of them.")
    if path.is_dir() or not can_be_made(path.parent):
        raise UserError(f"{path} cannot be written; choose another --out.")


def write_table(path: Path, columns: Mapping[str, np.ndarray]) -> Path:
    """Write columns of equal length, beside and renamed; in parquet a column [n, d] is a list of fixed size d."""
    write = _write_npz if path.suffix.lower() == ".npz" else _write_parquet
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside(path) as unfinished:
            write(unfinished, columns)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another --out.") from error
    return path


def _write_npz(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """As `numpy.savez_compressed` does, which cannot take a column that is called file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in columns.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


def _write_parquet(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    def column(values: np.ndarray) -> Any:
        if values.ndim == 1:
            return pa.array(values)
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])

    parquet.write_table(pa.table({name: column(values) for name, values in columns.items()}), path)
