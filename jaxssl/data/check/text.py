"""Whether the words in a store tell who its subjects are, or when they were examined."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxssl.data.check.findings import Findings, Kind
from jaxssl.data.ingest.pseudonym import DIGITS
from jaxssl.data.personal import DATE, LONG, told
from jaxssl.data.record import Record
from jaxssl.data.store import LEDGER, SUMMARY, Store

PSEUDONYM = re.compile(rf"[0-9a-f]{{{DIGITS}}}")
BINARY = ("*.npy", "*.npz", "*.array_record-*")
MANY = 5
"""Subjects that have a value of a label for themselves, from which on these are suspected to be names."""

_NUMBER = re.compile(r"-?\d+\.\d+")
_COUNTS = ("numBytes", "shardLengths")
"""Where tfds writes numbers as text."""


class Texts:
    """Looks at the words of records as they pass; what it finds is named by its place, never shown."""

    def __init__(self, store: Store, findings: Findings):
        self._info, self._findings = store.info, findings
        self._holders: dict[str, dict[str, str | None]] = {}
        self._known: set[tuple[str, str]] = set()
        if not store.info.synthetic and not PSEUDONYM.fullmatch(store.info.key_id):
            findings.add(Kind.NAME, "store.json has no key_id: nobody can say that its names are pseudonyms")

    def add(self, record: Record, where: str) -> None:
        """Look at the words of a record."""
        for field in ("subject", "study"):
            self._name(getattr(record, field), field, where)
        self._word("view", record.view, record.subject, where)
        for name, value in record.labels.items():
            self._word(f"label {name}", value, record.subject, where)

    def close(self) -> None:
        """Say which labels have another value for almost everyone; measurements, with a decimal point, may."""
        for field, holders in self._holders.items():
            alone = [who for value, who in holders.items() if who is not None and not _NUMBER.fullmatch(value)]
            if len(set(alone)) >= MANY and len(alone) > len(holders) / 2:
                what = f"{field}: {len(alone)} of {len(holders)} values are of one subject each"
                self._findings.add(Kind.ONE_BY_ONE, what)

    def _name(self, name: str, field: str, where: str) -> None:
        if (field, name) in self._known:
            return
        self._known.add((field, name))
        if not self._info.synthetic and not PSEUDONYM.fullmatch(name):
            self._findings.add(Kind.NAME, f"{field} of {where}")
        for what in told(name):
            self._findings.add(Kind.TELLING, f"{what} in {field} of {where}")

    def _word(self, field: str, value: str, subject: str, where: str) -> None:
        holders = self._holders.setdefault(field, {})
        if value in holders:
            holders[value] = holders[value] if holders[value] == subject else None
            return
        holders[value] = subject
        for what in {*told(value), *told(field), *(["a long number"] if LONG.search(value) else [])}:
            self._findings.add(Kind.TELLING, f"{what} in {field} of {where}")


def check_files(store: Store, files: set[str], findings: Findings) -> None:
    """Look through all text beside the records; name files that are none of the store's."""
    for path in sorted(store.path.rglob("*")):
        inside = path.relative_to(store.path)
        if not path.is_file():
            continue
        if inside.parts[0] != ".cache" and inside.as_posix() not in (*files, SUMMARY, LEDGER):
            findings.add(Kind.FOREIGN, inside.as_posix())
        if any(path.match(pattern) for pattern in BINARY):
            continue
        # The ledger's days, also in names of runs, are those on which somebody worked.
        passed = {DATE} if inside.as_posix() == LEDGER else set()
        for what in sorted({what for text in _strings(path) for what in told(text)} - passed):
            findings.add(Kind.TELLING, f"{what} in {inside.as_posix()}")
    if not store.info.synthetic:
        for name in (name for names in store.info.masks_learnt_from.values() for name in names):
            if not PSEUDONYM.fullmatch(name):
                findings.add(Kind.NAME, "masks_learnt_from in store.json")
                break


def _strings(path: Path) -> Iterator[str]:
    """The texts in a file; of JSON, the keys and values that are text."""
    with path.open(encoding="utf-8", errors="replace") as file:
        if path.suffix == ".json":
            try:
                yield from _walk(json.load(file))
                return
            except ValueError:
                file.seek(0)
        for line in file:
            try:
                yield from _walk(json.loads(line))
            except ValueError:
                yield line


def _walk(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from () if key in _COUNTS else _walk(value)
    elif isinstance(content, list):
        for value in content:
            yield from _walk(value)
    elif isinstance(content, str):
        yield content
