"""What a subject gave, on the disk until the store is made: its records, and a note that is written last."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxssl.data.encoding import Codec
from jaxssl.data.ingest.depth import Intensity
from jaxssl.data.ingest.pool import Job
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.ingest.records import records_of
from jaxssl.data.record import Record
from jaxssl.data.shards import Digest, put_text, read_file, write_file
from jaxssl.data.store import UNFINISHED
from jaxssl.data.subject import Subject
from jaxssl.data.summary import Tally
from jaxssl.errors import UserError

FORMAT = 2
"""Counts the ways in which files have been turned into records: parts of another one are done again."""


@dataclass(frozen=True)
class Part:
    """What is known of a subject's part; without a tally and intensities where it has no records."""

    key: str
    subject: str
    fingerprint: str
    rejects: Mapping[str, str]
    """Reasons by file, as the source names it."""
    passing: int
    """Files among these that may be of use another time."""
    tally: Mapping[str, Any] | None
    intensity: Mapping[str, Any] | None

    @property
    def records(self) -> int:
        return self.tally["records"] if self.tally else 0


def key_of(subject: Subject, source: Path, options: str, names: Pseudonyms) -> str:
    """Names a subject, the state of its files and how they are turned into records."""
    return names.digest(f"part {FORMAT}", options, json.dumps(_state(subject, source), sort_keys=True))


def find_part(store: Path, key: str) -> Part | None:
    """A part, if it was done, and for good."""
    try:
        part = Part(**json.loads((store / UNFINISHED / f"{key}.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return None if part.passing else part


def lines_of(store: Path, part: Part) -> Iterator[bytes]:
    """The encoded records of a part; one that is damaged is dropped, to be done again."""
    digest = Digest()
    try:
        for line in read_file(_file(store, part.key)):
            digest.add(line)
            yield line
    except RuntimeError:
        pass
    if str(digest) != part.fingerprint:
        (store / UNFINISHED / f"{part.key}.json").unlink()
        raise UserError(f"A part of {store} was damaged after it had been written: the same command makes it again.")


@dataclass(frozen=True)
class PartWriter:
    """Turns a subject into a part; goes to worker processes."""

    store: Path
    source: Path
    names: Pseudonyms
    fan: bool
    classes: tuple[str, ...]

    def __call__(self, job: Job, reading: Callable[[Path | None], None]) -> Part:
        """The part, when it is on the disk."""
        reasons: dict[Path, dict[str, None]] = {}
        passing: set[Path] = set()
        measured: list[Intensity] = []

        def reject(file: Path, reason: str) -> None:
            reasons.setdefault(file, {})[reason] = None

        try:
            records = records_of(
                job.subject,
                self.names,
                reject,
                fan=self.fan,
                classes=self.classes,
                refused=job.refused,
                reading=reading,
                passing=passing.add,
                measured=measured.append,
            )
            tally, fingerprint = self._write(job.key, records)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            # Whatever a file has done to a library or to us, the other subjects shall not suffer from it.
            for file in job.files():
                reject(file, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}")
            tally, fingerprint, measured = None, "", []
        part = Part(
            key=job.key,
            subject=self.names.subject(job.subject.name),
            fingerprint=fingerprint,
            rejects={relative(file, self.source): "; ".join(why) for file, why in reasons.items()},
            passing=len(passing),
            tally=tally,
            intensity=asdict(measured[0]) if measured else None,
        )
        put_text(self.store / UNFINISHED / f"{job.key}.json", json.dumps(asdict(part)))
        return part

    def _write(self, key: str, records: list[Record]) -> tuple[Mapping[str, Any] | None, str]:
        if not records:
            return None, ""
        tally = Tally.like(records[0], self.classes)
        codec = Codec(tally.dtype, tally.channels)

        def lines() -> Iterator[bytes]:
            for record in records:
                tally.add(record)
                yield codec.line(record)

        path, digest = _file(self.store, key), Digest()
        unfinished = path.with_name(f".{key}-{os.getpid()}")
        try:
            write_file(unfinished, lines(), digest)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return tally.to_json(), str(digest)


def relative(file: Path, source: Path) -> str:
    """A file as the source names it, in text that any program can write."""
    return os.fsencode(os.path.relpath(file, source)).decode("utf-8", "backslashreplace")


def _file(store: Path, key: str) -> Path:
    return store / UNFINISHED / f"{key}.array_record"


def _state(value: Any, source: Path) -> Any:
    """A value of which equal ones give equal JSON, and a file by its name, size and time.

    A set's masks have to be data classes, of which all that matters can be seen.
    """
    if isinstance(value, Path):
        try:
            status = value.stat()
        except OSError:
            return [relative(value, source)]
        return [relative(value, source), status.st_size, status.st_mtime_ns]
    if is_dataclass(value):
        named = {each.name: _state(getattr(value, each.name), source) for each in fields(value)}
        return [type(value).__qualname__, named]
    if isinstance(value, Mapping):
        return [[_state(key, source), _state(inner, source)] for key, inner in value.items()]
    if isinstance(value, tuple | list):
        return [_state(each, source) for each in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__qualname__} is no data class: a part that depends on it could not be known again")
