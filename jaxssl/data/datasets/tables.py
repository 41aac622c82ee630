"""The small files in which data sets say what they know of their images."""

import csv
from pathlib import Path

from jaxssl.errors import UserError

DELIMITERS = ",;\t"
"""What spreadsheets write between values, by the language of their user."""


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


def number(text: str, path: Path, what: str) -> float:
    """A number that a table has to have."""
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{path} has {text!r} where {what} belongs: mend the file, or get it again.") from None


def known(**labels: str) -> dict[str, str]:
    """The labels that are not empty: one that is missing is unknown."""
    return {name: value for name, value in labels.items() if value}


def _lines(path: Path) -> list[list[str]]:
    """The cells of a table, between whichever signs its first line has most of."""
    text = _text(path).splitlines()
    delimiter = max(DELIMITERS, key=(text[0] if text else "").count)
    try:
        return [[value.strip() for value in line] for line in csv.reader(text, delimiter=delimiter)]
    except csv.Error as error:
        raise UserError(f"{path} is no table ({error}): mend the file, or get it again.") from error


def _text(path: Path) -> str:
    """Of a file as spreadsheets write it, with or without a mark of its encoding."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): is it whole, and yours to read?") from error
