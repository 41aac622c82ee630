"""A store checked from end to end: each record is read once, its bytes against their checksums."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from jaxssl.data.cache import Progress
from jaxssl.data.check.findings import Findings, Kind
from jaxssl.data.check.pixels import Pixels
from jaxssl.data.check.stacks import Stacks
from jaxssl.data.check.text import Texts, check_files
from jaxssl.data.duplicates import Gallery
from jaxssl.data.encoding import Codec
from jaxssl.data.record import Record
from jaxssl.data.shards import LINES_AT_ONCE, WITHOUT_AHEAD, Digest
from jaxssl.data.store import SUMMARY, UNFINISHED, Store, open_store
from jaxssl.data.summary import Tally
from jaxssl.errors import UserError

SAID = ("masks_by", "masks_learnt_from", "key_id", "made_from")
"""What a summary says beyond what is counted."""
FEW = 3
"""Phases of a clip that are compared with other clips."""


def check_store(
    path: str | Path, part_of: Mapping[str, str] | None = None, progress: Progress = lambda done, total: None
) -> Findings:
    """All that is found; with the part of a split of each subject, also what is on two sides of it.

    Memory grows by some hundred bytes a record and a slice: what is kept are hashes, names and planes.
    """
    path, findings = Path(path), Findings()
    try:
        store = open_store(path)
    except UserError as error:
        if not path.is_dir():
            raise
        findings.add(Kind.UNUSABLE, str(error))
        return findings
    if (path / UNFINISHED).exists():
        findings.add(Kind.REMAINS, UNFINISHED)
    files = json.loads((path / SUMMARY).read_text())["files"]
    check_files(store, set(files), findings)
    shards = sorted(name for name in files if ".array_record-" in name)
    with contextlib.closing(Gallery()) as gallery:
        _check_records(store, shards, gallery, findings, progress)
        _check_duplicates(gallery, part_of, findings)
    return findings


def _check_records(store: Store, shards: list[str], gallery: Gallery, findings: Findings, progress: Progress) -> None:
    info, digest = store.info, Digest()
    codec = Codec(np.dtype(info.dtype), info.channels)
    tally = Tally(np.dtype(info.dtype), info.channels, info.classes)
    texts, pixels, stacks = Texts(store, findings), Pixels(info.classes, findings), Stacks(findings)
    damaged = False
    for number, line in enumerate(line for name in shards for line in _lines(store.path / name, findings)):
        progress(number + 1, len(store))
        record = _record(codec, line)
        if line is None or record is None:
            findings.add(Kind.DAMAGED if line is None else Kind.RECORD, f"record {number}")
            damaged = True
            continue
        digest.add(line)
        where = f"record {number} ({record.view}, slice {record.slice}, phase {record.phase})"
        _count(tally, record, number, findings)
        for part in (texts, pixels, stacks):
            part.add(record, where)
        if record.phase in _compared(record.phases):
            gallery.add(record.subject, record.image, number)
    for part in (texts, pixels, stacks):
        part.close()
    if not damaged:
        _compare(store, str(digest), tally, findings)


def _lines(path: Path, findings: Findings) -> Iterator[bytes | None]:
    """The lines of a file, None for each that is damaged."""
    try:
        with contextlib.closing(ArrayRecordReader(str(path), WITHOUT_AHEAD)) as reader:
            count = reader.num_records()
    except RuntimeError:
        findings.add(Kind.DAMAGED, path.name)
        return
    for start in range(0, count, LINES_AT_ONCE):
        end = min(start + LINES_AT_ONCE, count)
        lines = _read(path, start, end)
        yield from lines or ((_read(path, place, place + 1) or [None])[0] for place in range(start, end))


def _read(path: Path, start: int, end: int) -> list[bytes] | None:
    """Some lines, or none if one of them is damaged; a reader that has met with damage reads nothing more."""
    try:
        with contextlib.closing(ArrayRecordReader(str(path), WITHOUT_AHEAD)) as reader:
            return reader.read(start, end)
    except RuntimeError:
        return None


def _record(codec: Codec, line: bytes | None) -> Record | None:
    """The record of a line, unless the line is whole and says what no record can be."""
    try:
        return None if line is None else codec.record(line)
    except Exception:  # whatever the parsers of bytes that were not written here raise
        return None


def _compared(phases: int) -> set[int]:
    """The phases of a clip that are looked at for copies: a copied clip is one in all of them."""
    return {round(phase) for phase in np.linspace(0, phases - 1, FEW)}


def _count(tally: Tally, record: Record, number: int, findings: Findings) -> None:
    if record.mask is not None and record.mask.max() >= len(tally.classes):
        return  # told already
    try:
        tally.add(record)
    except UserError as error:
        findings.add(Kind.RECORD, f"record {number}: {error}")


def _compare(store: Store, fingerprint: str, tally: Tally, findings: Findings) -> None:
    """Set what was counted beside what the summary says."""
    info = store.info
    counted = asdict(tally.info(info.name, info.description, info.licence, info.citation, info.synthetic))
    if wrong := [name for name, value in asdict(info).items() if name not in SAID and counted[name] != value]:
        findings.add(Kind.SUMMARY, ", ".join(wrong))
    if fingerprint != store.fingerprint:
        findings.add(Kind.CHANGED, f"{fingerprint} is not {store.fingerprint}")


def _check_duplicates(gallery: Gallery, part_of: Mapping[str, str] | None, findings: Findings) -> None:
    """Each two subjects with near duplicates once, by the first of them."""
    parts, seen = part_of or {}, set()
    for first, second, likeness in gallery.pairs():
        subjects = tuple(sorted((gallery.owners[first], gallery.owners[second])))
        if subjects in seen:
            continue
        seen.add(subjects)
        records = f"records {gallery.numbers[first]} and {gallery.numbers[second]}"
        where = f"{records} ({' and '.join(subjects)}, likeness {likeness:.2f})"
        findings.add(Kind.TWINS, where)
        between = {parts.get(subject) for subject in subjects} - {None}
        if len(between) > 1:
            findings.add(Kind.LEAK, f"{where}: {' and '.join(sorted(map(str, between)))}")
