"""By what a subject's files are known again: by their names and sizes, their times as well, or all that is in them."""

import hashlib
import json
import stat
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.ingest.reasons import relative
from jaxssl.data.subject import Subject

FORMAT = 3
"""Counts the ways in which files have been turned into records: parts of another one are done again."""


def state_of(
    subject: Subject, source: Path, options: str, names: Pseudonyms, about: Callable[[Path], list[int | str]]
) -> str:
    """Names a subject, what is said `about` its files, and how they are turned into records."""
    return names.digest(f"part {FORMAT}", options, json.dumps(_plain(subject, source, about), sort_keys=True))


def size(file: Path) -> list[int | str]:
    """What a copy has in common with a file, at a glance."""
    return [file.stat().st_size]


def time(file: Path) -> list[int | str]:
    """What a copy may have in common with a file, and another of its name and size has not."""
    return [*size(file), file.stat().st_mtime_ns]


def content(file: Path) -> list[int | str]:
    """What a copy has in common with a file and nothing else has; it is read from end to end."""
    if not stat.S_ISREG(file.stat().st_mode):
        return []  # a pipe would have us wait for somebody to write
    with file.open("rb") as opened:
        return [hashlib.file_digest(opened, "sha256").hexdigest()]


def _plain(value: Any, source: Path, about: Callable[[Path], list]) -> Any:
    """A value of which equal ones give equal JSON, and a file by its name and what is said `about` it.

    A set's masks have to be data classes, of which all that matters can be seen.
    """
    if isinstance(value, Path):
        try:
            return [relative(value, source), *about(value)]
        except OSError:
            return [relative(value, source)]
    if is_dataclass(value):
        named = {each.name: _plain(getattr(value, each.name), source, about) for each in fields(value)}
        return [type(value).__qualname__, named]
    if isinstance(value, Mapping):
        return [[_plain(key, source, about), _plain(inner, source, about)] for key, inner in value.items()]
    if isinstance(value, tuple | list):
        return [_plain(each, source, about) for each in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__qualname__} is no data class: a part that depends on it could not be known again")
