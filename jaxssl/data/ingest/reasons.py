"""Why files are left out, in whole or in part, in lines that somebody reads."""

import os
from collections import defaultdict
from pathlib import Path

FEW = 3
"""Reasons that are told of a file; a mask may be wrong for each of a thousand images, and a csv in each line."""


class Reasons:
    """What was told of each file, each thing once."""

    def __init__(self):
        self._told: dict[Path, dict[str, None]] = defaultdict(dict)

    def add(self, file: Path, reason: str) -> None:
        """Hear of a file; this is a `Reject`."""
        self._told[file][reason] = None

    def by_file(self, source: Path) -> dict[str, str]:
        """The first reasons of each file, as the source names it, and how many more there are."""
        return {relative(file, source): _line([*reasons]) for file, reasons in self._told.items()}


def relative(file: Path, source: Path) -> str:
    """A file as the source names it, in text that any program can write."""
    return os.fsencode(os.path.relpath(file, source)).decode("utf-8", "backslashreplace")


def _line(reasons: list[str]) -> str:
    more = [f"and {len(reasons) - FEW} more"] * (len(reasons) > FEW)
    return "; ".join(reasons[:FEW] + more)
