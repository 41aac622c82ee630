"""A user's csv: what its columns are called, which of them are labels, and what its rows say of files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject
from jaxssl.data.datasets.pairs import as_mask
from jaxssl.data.personal import is_personal
from jaxssl.data.subject import Masks
from jaxssl.errors import UserError

Row = Mapping[str, str]

COLUMNS = {
    "file": ("file", "image", "path", "filename", "file_name"),
    "subject": ("subject", "subject_id", "patient", "patient_id"),
    "study": ("study", "study_id"),
    "view": ("view",),
    "moment": ("moment",),
    "slice": ("slice",),
    "phase": ("phase", "frame"),
    "mask": ("mask", "mask_file"),
    "spacing": ("spacing", "spacing_mm", "pixel_spacing", "pixel_size", "pixel_mm"),
}
"""The names under which each may go, in any case; of several the first, and the others are no labels."""

USUAL = re.compile(
    r"labels?|class|category|group|diagnosis|disease|pathology|plane|organ|side|vendor|probe|quality|severity|sex|split",
    re.IGNORECASE,
).fullmatch
"""Columns that are labels unless others are named. Of any other nobody knows what it may say of people."""


class Refused(Exception):
    """A row that is not taken, and why."""


class Table:
    """A csv about the files of a source: names of files are from its own folder, or the source if it is elsewhere."""

    def __init__(self, path: Path, source: Path):
        self.path, self.source = path, source
        own = {name.lower(): name for name in tables.columns(path)}
        found = {key: [own[name] for name in names if name in own] for key, names in COLUMNS.items()}
        self.columns = {key: names[0] for key, names in found.items() if names}
        """The table's own names of the columns that are known."""
        self.others = [name for name in tables.columns(path) if name and name not in self.columns.values()]
        self.folder = path.parent if path.resolve().is_relative_to(source.resolve()) else source

    @cached_property
    def rows(self) -> Sequence[Row]:
        """As the table names its columns."""
        return tables.rows(self.path)

    def fields(self) -> Iterator[tuple[str, Row, Row]]:
        """What a reader calls each row, its columns that are known, by our names, and all of it."""
        for number, row in enumerate(self.rows, start=2):
            yield f"row {number} of {self.path.name}", {key: row[name] for key, name in self.columns.items()}, row

    def beside(self) -> set[Path]:
        """The files that are no images, as this says: itself, and masks."""
        return {self.path.resolve()} | {
            (self.folder / field["mask"]).resolve() for _, field, _ in self.fields() if field.get("mask")
        }

    def labels(self, wanted: Sequence[str], reject: Reject) -> list[str]:
        """The columns that are labels, of all or of those that are wanted; tells of those that are not."""
        if missing := [name for name in wanted if name not in self.others]:
            there = ", ".join(self.others)
            raise UserError(f"{self.path} has no column {missing[0]!r} that could be a label; it has {there}.")
        chosen = list(wanted) or [name for name in self.others if USUAL(name)]
        if left := [name for name in self.others if name not in chosen]:
            reject(self.path, f"its columns {', '.join(left)} are left out: name those that are labels by --labels")
        personal = [name for name in chosen if any(is_personal(row[name]) for row in self.rows)]
        if personal:
            reject(self.path, f"its columns {', '.join(personal)} may say who somebody is, and are no labels")
        return [name for name in chosen if name not in personal]

    def file(self, name: str) -> Path:
        """Where a name leads, if that is a file in the source."""
        path = self.folder / name
        try:
            file = path.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # a loop of links is one of the first two, a null byte the last
            raise Refused(f"names {name}, which is not in {self.folder.resolve().name}") from None
        if not file.is_relative_to(self.source.resolve()):
            raise Refused(f"names {path.name}, which lies outside the source")
        if not file.is_file():
            raise Refused(f"names {path.name}, which is no file")
        return file

    def mask(self, field: Row) -> Masks | None:
        """What a row names as its file's mask."""
        if not (name := field.get("mask", "")):
            return None
        self.file(name)
        return as_mask(self.folder / name)


def moment_of(field: Row) -> str:
    """ED or ES, or "" where a row says nothing of it."""
    said = field.get("moment", "")
    if said and said.upper() not in tables.MOMENTS:
        raise Refused(f"has the moment {said!r}, which is neither ED nor ES")
    return said.upper()


def number_of(field: Row, what: str) -> int | None:
    """A whole number from 0 on, or none where a row says nothing of it."""
    text = field.get(what, "")
    number = tables.whole(text)
    if text and number is None:
        raise Refused(f"has the {what} {text!r}, which is no number")
    return number
