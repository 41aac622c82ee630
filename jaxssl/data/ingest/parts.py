"""What a subject gave, on the disk until the store is made: its records, and a note that is written last."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxssl.data.encoding import Codec
from jaxssl.data.ingest.depth import Intensity
from jaxssl.data.ingest.loading import Hearers
from jaxssl.data.ingest.pool import Job
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.ingest.reasons import Reasons
from jaxssl.data.ingest.records import records_of
from jaxssl.data.ingest.state import content, state_of
from jaxssl.data.record import Record
from jaxssl.data.shards import Digest, put_text, read_file, write_file
from jaxssl.data.store import UNFINISHED
from jaxssl.data.summary import Tally
from jaxssl.errors import UserError


@dataclass(frozen=True)
class Part:
    """What is known of a subject's part; without a tally and intensities where it has no records."""

    key: str
    content: str
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
    options: str

    def __call__(self, job: Job, reading: Callable[[Path | None], None]) -> Part:
        """The part, when it is on the disk."""
        reasons, passing = Reasons(), set[Path]()
        measured: list[Intensity] = []
        hearers = Hearers(reasons.add, passing.add, reading, measured.append, job.refused)
        try:
            records = records_of(job.subject, self.names, hearers, fan=self.fan, classes=self.classes)
            tally, fingerprint = self._write(job.key, records)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            # Whatever a file has done to a library or to us, the other subjects shall not suffer from it.
            for file in job.files():
                reasons.add(file, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}")
            tally, fingerprint, measured = None, "", []
        part = Part(
            key=job.key,
            content=state_of(job.subject, self.source, self.options, self.names, content),
            subject=self.names.subject(job.subject.name),
            fingerprint=fingerprint,
            rejects=reasons.by_file(self.source),
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


def _file(store: Path, key: str) -> Path:
    return store / UNFINISHED / f"{key}.array_record"
