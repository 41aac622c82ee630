"""A csv that lists images: whose they are, and what is known of them.

    file                                                from the folder of the csv; it has to lie in the source
    subject (or patient, patient_id, subject_id)        anything that tells people apart
    study, view, moment (ED, ES), mask (a file)
    spacing (or spacing_mm, pixel_size, pixel_mm)       in mm: one number, or two, along y and along x

Only `file` and `subject` have to be there. Other columns are labels, unless they could tell who somebody is.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject
from jaxssl.data.datasets.names import as_mask
from jaxssl.data.formats.image import in_mm
from jaxssl.data.record import MOMENTS
from jaxssl.data.subject import Series, Subject
from jaxssl.errors import UserError

Row = Mapping[str, str]

COLUMNS = {
    "file": ("file", "image", "path", "filename", "file_name"),
    "subject": ("subject", "subject_id", "patient", "patient_id"),
    "study": ("study", "study_id"),
    "view": ("view",),
    "moment": ("moment",),
    "mask": ("mask", "mask_file"),
    "spacing": ("spacing", "spacing_mm", "pixel_size", "pixel_mm"),
}
"""The names under which each may go, in any case."""

PERSONAL = re.compile(
    r"name|birth|dob|date|time|mrn|accession|uid|address|phone|mail|comment|note|(^|[ _])(id|nr|no)$", re.I
)
"""Columns that are not taken as labels, whatever is in them."""

FEW = 10
"""Values beyond which a column tells people apart if each of them belongs to one person alone."""


def only_table(source: Path) -> Path | None:
    """The csv of a folder that lists files, if it has one."""
    found = [path for path in sorted(source.glob("*.csv")) if "file" in _columns(tables.rows(path)[:1])]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{source} has several tables that list files, {names}: name one by --csv.")
    return found[0] if found else None


def subjects(source: Path, table: Path, reject: Reject) -> Iterator[Subject]:
    """The subjects of a table, by name."""
    rows = tables.rows(table)
    columns = _columns(rows[:1])
    for needed in ("file", "subject"):
        if needed not in columns:
            raise UserError(
                f"{table} has no column {needed!r}, but {', '.join(rows[0]) if rows else 'no rows'}: add it."
            )
    labels, personal = _labels(rows, columns)
    if personal:
        reject(table, f"its columns {', '.join(personal)} may say who somebody is: left out, the images kept")
    people, seen = defaultdict(list), set()
    for number, row in enumerate(rows, start=2):
        field = {key: row[name] for key, name in columns.items()}
        path = table.parent / field["file"]
        try:
            if not field["file"] or not field["subject"]:
                raise _Refused("names no file, or no subject")
            file = _inside(path, source)
            if file in seen:
                raise _Refused("names it again")
            seen.add(file)
            people[field["subject"]].append(
                _series(path, field, {name: row[name] for name in labels if row[name]}, table, source)
            )
        except _Refused as refused:
            reject(path if field["file"] else table, f"row {number} of {table.name} {refused}")
    for name, series in sorted(people.items()):
        yield Subject(name, tuple(series))


class _Refused(Exception):
    """A row that is not taken, and why."""


def _series(path: Path, field: Row, labels: Mapping[str, str], table: Path, source: Path) -> Series:
    moment, mask = field.get("moment", "").upper(), field.get("mask", "")
    if moment not in MOMENTS:
        raise _Refused(f"has the moment {moment!r}, which is neither ED nor ES")
    if mask:
        _inside(table.parent / mask, source)
    return Series(
        (path,),
        study=field.get("study") or field["file"],
        view=field.get("view", ""),
        masks=as_mask(table.parent / mask) if mask else None,
        labels=labels,
        moments={0: moment} if moment else {},
        spacing=_spacing(field.get("spacing", "")),
    )


def _inside(path: Path, source: Path) -> Path:
    """Where a path leads, if that is a file in the source."""
    try:
        file = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # a loop of links is one of the first two, a null byte the last
        raise _Refused(f"names {path.name}, which is not there") from None
    if not file.is_relative_to(source.resolve()):
        raise _Refused(f"names {path.name}, which lies outside the source")
    if not file.is_file():
        raise _Refused(f"names {path.name}, which is no file")
    return file


def _spacing(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    numbers = re.split(r"[\s,;x]+", text)
    try:
        sizes = in_mm(float(numbers[0]), float(numbers[-1])) if len(numbers) <= 2 else None
    except ValueError:
        sizes = None
    if sizes is None:
        raise _Refused(f"has the spacing {text!r}, which is no size in mm")
    return sizes


def _columns(rows: Sequence[Row]) -> dict[str, str]:
    """The table's own names of the columns that are known."""
    own = {name.lower(): name for name in (rows[0] if rows else ())}
    found = {key: [own[name] for name in names if name in own] for key, names in COLUMNS.items()}
    return {key: names[0] for key, names in found.items() if names}


def _labels(rows: Sequence[Row], columns: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The columns that are labels, and those that could tell who somebody is."""
    labels, personal = [], []
    for name in (name for name in rows[0] if name and name not in columns.values()):
        owners = defaultdict(set)
        for row in rows:
            owners[row[name]].add(row[columns["subject"]])
        owners.pop("", None)
        own = len(owners) > FEW and all(len(people) == 1 for people in owners.values())
        (personal if own or PERSONAL.search(name) else labels).append(name)
    return labels, personal
