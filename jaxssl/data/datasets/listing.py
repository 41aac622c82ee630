"""A csv that lists images: whose they are, and what is known of them.

    file                                            from the folder of the csv, or the source if the csv is elsewhere
    subject (or patient, patient_id, subject_id)    anything that tells people apart
    study, view, moment (ED, ES), mask (a file)
    slice, phase (or frame)                         whole numbers, which put the files of a study in order
    spacing (or pixel_spacing, pixel_size ...)      in mm: one number, or two, along y and along x

Only `file` and `subject` have to be there. Files of one study and view that have a slice, a phase or a moment are one
stack; of several files with one moment, and no slice, each is another slice, in the order of the table. All others are
images by themselves.

Labels are the columns that the user names; where none is named, those that go by a usual name, such as group or plane.
A column with a date or a long number in it is none.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject
from jaxssl.data.datasets.masks import ByFile
from jaxssl.data.datasets.pairs import as_mask
from jaxssl.data.personal import is_personal
from jaxssl.data.record import MOMENTS
from jaxssl.data.subject import Masks, Series, Subject
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


@dataclass(frozen=True)
class _Listed:
    """What a row says of a file."""

    file: Path
    name: str
    """Of the file, as the table has it."""
    study: str
    view: str
    slice: int | None
    phase: int | None
    moment: str
    mask: Masks | None
    labels: Row
    spacing: tuple[float, float] | None

    @property
    def stack(self) -> tuple:
        """The same for files of one stack."""
        counted = self.slice is not None, self.phase is not None
        if self.study and (any(counted) or self.moment):
            return self.study, self.view, self.spacing or (), counted
        return (self.name,)


def only_table(source: Path) -> Path | None:
    """The csv of a folder that lists files and whose they are, if it has one."""
    needed = {"file", "subject"}
    found = [path for path in sorted(source.glob("*.csv")) if needed <= set(_columns(tables.columns(path)))]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{source} has several tables that list files, {names}: name one by --csv.")
    return found[0] if found else None


def subjects(source: Path, table: Path, wanted: Sequence[str], reject: Reject) -> Iterator[Subject]:
    """The subjects of a table, by name; `wanted` names the columns that are labels."""
    rows, header = tables.rows(table), tables.columns(table)
    columns = _columns(header)
    for needed in ("file", "subject"):
        if needed not in columns:
            names, there = " or ".join(COLUMNS[needed]), ", ".join(header) or "none at all"
            raise UserError(f"{table} has no column {names}, but {there}: add it.")
    labels = _labels(table, rows, columns, wanted, reject)
    here = table.parent if table.resolve().is_relative_to(source.resolve()) else source
    people, seen = defaultdict(lambda: defaultdict(list)), set()
    for number, row in enumerate(rows, start=2):
        field = {key: row[name] for key, name in columns.items()}
        path = here / field["file"]
        try:
            if not field["file"] or not field["subject"]:
                raise _Refused("names no file, or no subject")
            file = _inside(path, source)
            if file in seen:
                raise _Refused("names it again")
            seen.add(file)
            listed = _listed(path, field, {name: row[name] for name in labels if row[name]}, here, source)
            people[field["subject"]][listed.stack].append(listed)
        except _Refused as refused:
            reject(path if field["file"] else table, f"row {number} of {table.name} {refused}")
    for name, stacks in sorted(people.items()):
        yield Subject(name, tuple(_series(files, reject) for files in stacks.values()))


class _Refused(Exception):
    """A row that is not taken, and why."""


def _listed(path: Path, field: Row, labels: Row, here: Path, source: Path) -> _Listed:
    moment, mask, size = field.get("moment", "").upper(), field.get("mask", ""), field.get("spacing", "")
    if moment not in MOMENTS:
        raise _Refused(f"has the moment {moment!r}, which is neither ED nor ES")
    if is_personal(field.get("view", "")):
        raise _Refused("has a view that looks like a name, a date or an id")
    if mask:
        _inside(here / mask, source)
    spacing = tables.spacing(size) if size else None
    if size and spacing is None:
        raise _Refused(f"has the spacing {size!r}, which is no size in mm")
    return _Listed(
        path,
        field["file"],
        study=field.get("study", ""),
        view=field.get("view", ""),
        slice=_number(field, "slice"),
        phase=_number(field, "phase"),
        moment=moment,
        mask=as_mask(here / mask) if mask else None,
        labels=labels,
        spacing=spacing,
    )


def _series(files: Sequence[_Listed], reject: Reject) -> Series:
    """One acquisition; labels that do not hold for all of its files are left out."""
    slices = _slices(files)
    order = sorted(range(len(files)), key=lambda i: (slices[i], files[i].phase or 0, MOMENTS.index(files[i].moment)))
    files, slices = [files[i] for i in order], [slices[i] for i in order]
    first = files[0]
    labels = {name: value for name, value in first.labels.items() if all(f.labels.get(name) == value for f in files)}
    if lost := sorted({name for each in files for name in each.labels} - labels.keys()):
        what = ", ".join(lost)
        reject(first.file, f"{what} differ within its study {first.study}: no labels of that stack, the images kept")
    masks = {place: each.mask for place, each in enumerate(files) if each.mask is not None}
    return Series(
        tuple(each.file for each in files),
        study=first.study or first.name,
        view=first.view,
        masks=ByFile(masks) if masks else None,
        labels=labels,
        moments={place: each.moment for place, each in enumerate(files) if each.moment},
        slices=dict(enumerate(slices)) if len(set(slices)) > 1 else {},
        spacing=first.spacing,
    )


def _slices(files: Sequence[_Listed]) -> list[int]:
    """The slice of each file: as the table says, else how often its moment was there before."""
    times, found = Counter(), []
    for each in files:
        counted = each.moment and each.phase is None
        found.append(each.slice if each.slice is not None else times[each.moment] if counted else 0)
        times[each.moment] += 1
    return found


def _number(field: Row, what: str) -> int | None:
    text = field.get(what, "")
    number = tables.whole(text)
    if text and number is None:
        raise _Refused(f"has the {what} {text!r}, which is no number")
    return number


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


def _columns(header: Sequence[str]) -> dict[str, str]:
    """The table's own names of the columns that are known."""
    own = {name.lower(): name for name in header}
    found = {key: [own[name] for name in names if name in own] for key, names in COLUMNS.items()}
    return {key: names[0] for key, names in found.items() if names}


def _labels(
    table: Path, rows: Sequence[Row], columns: Mapping[str, str], wanted: Sequence[str], reject: Reject
) -> list[str]:
    """The columns that are labels; tells of those that are not."""
    others = [name for name in tables.columns(table) if name and name not in columns.values()]
    if missing := [name for name in wanted if name not in others]:
        raise UserError(f"{table} has no column {missing[0]!r} that could be a label; it has {', '.join(others)}.")
    chosen = list(wanted) or [name for name in others if USUAL(name)]
    if left := [name for name in others if name not in chosen]:
        reject(table, f"its columns {', '.join(left)} are left out: name those that are labels by --labels")
    personal = [name for name in chosen if any(is_personal(row[name]) for row in rows)]
    if personal:
        reject(table, f"its columns {', '.join(personal)} may say who somebody is, and are no labels")
    return [name for name in chosen if name not in personal]
