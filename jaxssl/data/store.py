"""Records on disk: array_record, written and read through tensorflow-datasets without TensorFlow.

A store is a folder that `tfds.builder_from_directory(path).as_data_source("records")` reads. Records keep their order,
their original grid and their depth. Beside them, `store.json` holds a summary, the size of each file, a fingerprint
of the contents and a digest of what describes them; it is written last, so that a folder without it is unfinished.
"""

import functools
import hashlib
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from jaxssl.data.encoding import Codec, decode
from jaxssl.data.record import Record
from jaxssl.data.seen import NOBODY, Seen
from jaxssl.data.shards import SPLIT, Written, describe, put_text, sync, write_shards
from jaxssl.data.summary import StoreInfo, Tally
from jaxssl.errors import UserError
from jaxssl.files import beside

SUMMARY, DIGEST = "store.json", "digest"
DESCRIPTIONS = ("dataset_info.json", "features.json")
"""By which tfds reads the shards."""
FORMAT = 3
NAME = re.compile("[a-z][a-z0-9_]*")  # what tfds turns into file names
LEDGER = ".openings.jsonl"
"""Beside the records: how often which question was put to test subjects. It belongs to no copy's contents."""
UNFINISHED = "parts.unfinished"
"""The folder in an unfinished store where `data ingest` keeps what it has done."""


@dataclass(frozen=True)
class Source:
    """Of a store that was ingested: a hash of the names of its files and of all that is in them (their times are in
    times.txt), and how many were left out in whole or in part; of these, `passing` may be of use another time."""

    files: str = ""
    rejected: int = 0
    passing: int = 0


@dataclass(frozen=True, eq=False)
class Store:
    """An opened store; `fingerprint` names its contents, and `source` is what they were ingested from."""

    path: Path
    info: StoreInfo
    fingerprint: str
    source: Source = Source()

    def __len__(self) -> int:
        return self.info.records

    def record(self, index: int) -> Record:
        """Record number `index`, in the order in which they were written; array_record checks its hash."""
        try:
            return decode(self._source[index])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"Record {index} of {self.path} is damaged: copy or write the store again.") from error

    def records(self) -> Iterator[Record]:
        """All records in order."""
        return (self.record(i) for i in range(len(self)))

    @property
    def lineage(self) -> tuple[str, ...]:
        """Fingerprints of the stores that it was made from, and its own."""
        return (*self.info.made_from, self.fingerprint)

    @functools.cached_property
    def _source(self) -> Any:
        try:
            builder: Any = tfds.builder_from_directory(self.path)
            return builder.as_data_source(SPLIT)
        except Exception as error:  # tfds has as many kinds as there are ways to be damaged
            raise UserError(
                f"{self.path} cannot be read by its {' and '.join(DESCRIPTIONS)}: copy it again."
            ) from error


def write(
    records: Iterable[Record],
    path: str | Path,
    *,
    name: str,
    description: str,
    licence: str,
    citation: str = "",
    synthetic: bool = False,
    classes: Sequence[str] = (),
    masks_by: str = "",
    masks_learnt_from: Seen = NOBODY,
    key_id: str = "",
    made_from: Sequence[str] = (),
) -> Store:
    """Write `records` to a new store at `path`: whole or not at all, equal records to equal bytes.

    `classes` says what the mask codes 0, 1, ... mean; codes that nobody named go by their number. `masks_by` names a
    segmentation run that made the masks, `masks_learnt_from` those that it was trained on. `key_id` is that of
    the key by which subjects got their pseudonyms, and `made_from` the lineage of a store whose subjects these are.
    """
    path = Path(path)
    check_name(name)
    if path.exists():
        raise UserError(f"{path} exists already: give another path, or delete it first.")
    records = iter(records)
    first = next(records, None)
    if first is None:
        raise UserError(f"There are no records to write to {path}: check the folder that they come from.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another path.") from error
    try:
        tally = Tally.like(first, classes)
        codec = Codec(tally.dtype, tally.channels)

        def lines() -> Iterator[bytes]:
            for record in itertools.chain([first], records):
                tally.add(record)
                yield codec.line(record)

        written = write_shards(lines(), name, unfinished)
        counted = tally.info(name, description, licence, citation, synthetic)
        info = replace(
            counted,
            masks_by=masks_by,
            masks_learnt_from=masks_learnt_from.to_json(),
            key_id=key_id,
            made_from=list(made_from),
        )
        finish(unfinished, codec, info, written)
        unfinished.chmod(0o755)
        unfinished.rename(path)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    return Store(path, info, written.fingerprint)


def write_again(
    old: Store, records: Iterable[Record], path: str | Path, *, suffix: str, note: str, **changes: Any
) -> Store:
    """Write the records of a store to another, something about them changed: other masks, another label.

    `suffix` goes on its name and `note` on its description; `changes` are of what else `write` is told of a store. Its
    test subjects have been asked what those of the old store were asked: the ledger of openings goes with it.
    """
    info = old.info
    kept = {
        "licence": info.licence,
        "citation": info.citation,
        "synthetic": info.synthetic,
        "classes": info.classes,
        "masks_by": info.masks_by,
        "masks_learnt_from": Seen.from_json(info.masks_learnt_from),
        "key_id": info.key_id,
        "made_from": old.lineage,
    }
    name, description = f"{info.name}_{suffix}", f"{info.description} {note}"
    new = write(records, path, name=name, description=description, **{**kept, **changes})
    if (old.path / LEDGER).is_file():
        with beside(new.path / LEDGER) as unfinished:
            shutil.copyfile(old.path / LEDGER, unfinished)
    return new


def check_name(name: str) -> None:
    """Refuse what cannot be the name of files."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"A store cannot be called {name!r}: use small letters, digits and underscores, as in 'my_cines'."
        )


def finish(folder: Path, codec: Codec, info: StoreInfo, written: Written, source: Source = Source()) -> None:
    """Turn a folder with shards into a store."""
    describe(folder, codec, info, written)
    for name in DESCRIPTIONS:  # or a power cut might leave a finished store with half of one
        sync(folder / name)
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()}
    content = {
        "format": FORMAT,
        "fingerprint": written.fingerprint,
        "source": asdict(source),
        "files": sizes,
        "info": asdict(info),
    }
    content[DIGEST] = _digest(folder, content)
    put_text(folder / SUMMARY, json.dumps(content, indent=1))


def _digest(folder: Path, content: Mapping[str, Any]) -> str:
    """Of what a store says about itself: of `store.json`, and of the files by which tfds reads the shards."""
    told = {name: value for name, value in content.items() if name != DIGEST}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in DESCRIPTIONS:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def refuse_without_masks(path: Path | None) -> None:
    """Refuse a store, where one is given, that nobody can learn to segment from."""
    if path is not None and not open_store(path).info.masked:
        raise UserError(f"{path} has no masks to learn from: `jaxssl data ingest` takes them by --csv.")


def open_store(path: str | Path) -> Store:
    """Open a store and check that it is whole; only what describes it and the sizes of the files are read."""
    path = Path(path)
    if not path.is_dir():
        raise UserError(
            f"{path.absolute()} is not a folder: give the path of a store, or make one with `jaxssl data ingest`, of "
            "synthetic images with `jaxssl data phantom`."
        )
    try:
        content = json.loads((path / SUMMARY).read_text())
        if content["format"] != FORMAT:
            raise UserError(f"{path} has store format {content['format']}, this jaxssl reads {FORMAT}: write it again.")
        info = StoreInfo(**content["info"])
        sizes, fingerprint = dict(content["files"]), content["fingerprint"]
        source = Source(**content.get("source", {}))
    except FileNotFoundError:
        if (path / UNFINISHED).is_dir():
            raise UserError(f"{path} is unfinished: the same `jaxssl data ingest` as before continues it.") from None
        raise UserError(
            f"{path} is not a store, or an unfinished one ({SUMMARY} is missing): name a store's own folder, or write "
            "it again."
        ) from None
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise UserError(f"{path / SUMMARY} cannot be read ({error}): write the store again.") from error
    for name, size in sizes.items():
        file = path / name
        if Path(name).name != name:
            raise UserError(f"{path / SUMMARY} names {name!r}, which is no file of the store's: write the store again.")
        if not file.is_file() or file.stat().st_size != size:
            raise UserError(f"{file} is missing or truncated ({size} bytes expected): copy or write the store again.")
    # Stores of earlier versions have no digest.
    if DIGEST in content and content[DIGEST] != _digest(path, content):
        raise UserError(
            f"{path} is damaged: {SUMMARY}, {' or '.join(DESCRIPTIONS)} was changed; copy or write the store again."
        )
    return Store(path, info, fingerprint, source)
