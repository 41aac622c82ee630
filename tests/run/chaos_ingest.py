"""`data ingest` of a folder of volumes, read by two processes, for `chaos.py`."""

import hashlib
import random
from pathlib import Path

import numpy as np
from chaos import at_call, soon, truncate
from fakeset import volume

from jaxssl.cli import main
from jaxssl.data.ingest import engine, merge, pool
from jaxssl.data.store import SUMMARY, UNFINISHED

SUBJECTS, SLICES = 6, 3
# A file that takes long is left out, which a test of its own shows; on a busy machine any of these might.
pool.PATIENCE = 600.0


def prepare(folder: Path) -> None:
    """Volumes of 8 and 16 bits, and of each subject something that is left out."""
    draw = np.random.default_rng(0)
    for number in range(SUBJECTS):
        kind = np.uint16 if number % 2 else np.uint8
        pixels = draw.integers(0, np.iinfo(kind).max, (SLICES, 70, 70)).astype(kind)
        file = volume(folder / "scans" / f"subject{number}" / "sax.nii", pixels, depth=number)
        file.with_name("cut.nii").write_bytes(file.read_bytes()[:-1000])


def command(folder: Path, place: Path) -> int | None:
    words = ["data", "ingest", "folder", str(folder / "scans"), "--subject", "folder", "--workers", "2"]
    return main([*words, "--out", str(place / "store"), "--key", str(folder / "site.key")])


def while_reading(after: float, by: int) -> None:
    """As one of the parts is counted."""
    at_call(engine, "replace", 1 + int(after * SUBJECTS), soon(0.0, by))


def while_a_shard_is_written(after: float, by: int) -> None:
    """As one of the records is counted, after all parts have been."""
    at_call(engine, "replace", SUBJECTS + 1 + int(after * SUBJECTS * SLICES), soon(0.0, by))


def between_files(after: float, by: int) -> None:
    writes = ("write_shards", "put_text", "finish")
    at_call(merge, writes[int(after * len(writes))], 1, soon(0.0, by))


PLACES = {"reading": while_reading, "shard": while_a_shard_is_written, "files": between_files}


def cut_power(place: Path, draw: random.Random) -> None:
    """Truncate all that an unfinished store holds beside its parts, and of these what is not renamed yet."""
    store = place / "store"
    if not (store / SUMMARY).exists():
        for path in [*store.glob("*"), *(store / UNFINISHED).glob(".*")]:
            if path.is_file():
                truncate(path, draw)


def finished(place: Path) -> dict[str, int]:
    """Of each subject that has been read, when that was."""
    return {note.name: note.stat().st_mtime_ns for note in (place / "store" / UNFINISHED).glob("*.json")}


def outcome(place: Path) -> dict[str, str]:
    """A digest of each file of the store, and of the list beside it of what was left out."""
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
