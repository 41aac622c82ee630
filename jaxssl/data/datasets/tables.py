"""The small files in which data sets say what they know of their images."""

import csv
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from jaxssl.data import record
from jaxssl.data.formats.image import in_mm
from jaxssl.errors import UserError

DELIMITERS = ",;\t"
"""What spreadsheets write between values, by the language of their user."""

MOMENTS = record.MOMENTS[1:]
"""ED and ES."""
OUTSIDE = "it lies outside the source"


def rows(path: Path, *needed: str) -> list[dict[str, str]]:
    """The rows of a csv by its header, names and values without the spaces about them; a short row ends in ""."""
    names, *lines = _lines(path) or [[]]
    if missing := [name for name in needed if name not in names]:
        raise UserError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(names) or 'none'}: is it the file of this set?"
        )
    return [dict(zip(names, values + [""] * len(names), strict=False)) for values in lines if any(values)]


def pairs(path: Path) -> dict[str, str]:
    """The first two columns of a csv without a header."""
    return {values[0]: values[1] for values in _lines(path) if len(values) > 1}


def settings(path: Path) -> dict[str, str]:
    """The lines "name: value" of a text file."""
    lines = [line.partition(":") for line in _text(path).splitlines()]
    return {name.strip(): value.strip() for name, colon, value in lines if colon}


def columns(path: Path) -> list[str]:
    """The header of a csv, whatever stands below it."""
    return next(iter(_lines(path, 1)), [])


def number(text: str, path: Path, what: str) -> float:
    """A number that a table has to have."""
    found = _number(text)
    if found is None:
        raise UserError(f"{path} has {text!r} where {what} belongs: mend the file, or get it again.")
    return found


def whole(text: str) -> int | None:
    """A whole number from 0 on; none where the text is something else."""
    found = _number(text)
    return None if found is None or found < 0 or found % 1 else int(found)


def spacing(text: str) -> tuple[float, float] | None:
    """One size in mm, or two, along y and along x; none where the text is something else."""
    sizes = [_number(each) for each in re.split(r"[\s,;x]+", text.strip())]
    return in_mm(sizes[0], sizes[-1]) if len(sizes) <= 2 and sizes[0] and sizes[-1] else None


def moments(row: Mapping[str, str], first: int, refuse: Callable[[str], None]) -> dict[int, str]:
    """ED and ES by frame, of a row that counts frames from `first`; `refuse` hears of what is no frame."""
    found = {}
    for moment in MOMENTS:
        if text := row.get(moment, ""):
            frame = whole(text)
            if frame is None or frame < first:
                refuse(f"{moment} is {text!r}, which is no frame: not used")
            else:
                found[frame - first] = moment
    return found


def is_inside(path: Path, source: Path) -> bool:
    """Whether a path, which a table may have named, stays in the source; links in there lead where they may."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(source)) or path.resolve().is_relative_to(
        source.resolve()
    )


def known(**labels: str) -> dict[str, str]:
    """The labels that are not empty: one that is missing is unknown."""
    return {name: value for name, value in labels.items() if value}


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _lines(path: Path, most: int | None = None) -> list[list[str]]:
    """The cells of a table, between whichever signs its first line has most of."""
    text = _text(path).splitlines()[:most]
    delimiter = max(DELIMITERS, key=(text[0] if text else "").count)
    try:
        return [[value.strip() for value in line] for line in csv.reader(text, delimiter=delimiter)]
    except csv.Error as error:
        raise UserError(f"{path} is no table ({error}): mend the file, or get it again.") from error


def _text(path: Path) -> str:
    """Of a file as spreadsheets write it, with or without a mark of its encoding."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise UserError(f"There is no table {path}: give its path from the folder that you are in.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): is it whole, and yours to read?") from error
