"""What became of each tensor of a file, and of each array that none came for."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Fate = Literal["used", "adapted", "left", "fresh"]


class Line(NamedTuple):
    """One tensor of the file; of what is fresh, one array of the network."""

    name: str
    fate: Fate
    why: str = ""


class Row(NamedTuple):
    """All tensors of one fate for one reason."""

    fate: Fate
    count: int
    names: str
    why: str


def summed_up(lines: Iterable[Line]) -> list[Row]:
    """A row for each fate and reason; of many tensors the first and the last are named."""
    groups: dict[tuple[Fate, str], list[str]] = {}
    for line in lines:
        groups.setdefault((line.fate, line.why), []).append(line.name)
    order: tuple[Fate, ...] = ("used", "adapted", "left", "fresh")
    rows = [Row(fate, len(names), several(names), why) for (fate, why), names in groups.items()]
    return sorted(rows, key=lambda row: order.index(row.fate))


def several(names: list[str]) -> str:
    """Up to two names, or the first and the last of more."""
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} … {names[-1]}"


def enumerated(names: list[str], shown: int = 3) -> str:
    """The first few, and how many more."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
