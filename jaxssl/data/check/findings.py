"""Kinds of faults, and what was found of each."""

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

EXAMPLES = 5
"""Of each kind, the places that are named; all are counted."""


class Kind(Enum):
    """What may be found: whether it is an error, and what it means."""

    UNUSABLE = (True, "not a whole store")
    DAMAGED = (True, "damaged: the checksum of the record, or of its file, is another")
    CHANGED = (True, "records are whole, but not those that the fingerprint names")
    SUMMARY = (True, "the summary in store.json contradicts the records")
    RECORD = (True, "records contradict each other, or are none")
    CODE = (True, "a mask with a code that is no class")
    MASK = (True, "a mask on an image that shows nothing")
    PLANE = (True, "a plane with axes that are not orthonormal, or sizes that are not positive")
    STACK = (True, "slices of a stack that are not parallel, or not in order along their normal")
    BASE = (True, "a short-axis stack whose geometry runs from apex to base")
    NAME = (True, "a subject or study whose name is no pseudonym by a site's key")
    TELLING = (True, "text that may tell who or when")
    ONE_BY_ONE = (True, "a label that names subjects one by one")
    REMAINS = (True, "what an ingest that was stopped at its very end has left: the same command removes it")
    FOREIGN = (False, "a file that is no part of the store")
    TWINS = (False, "near duplicates of different subjects")
    LEAK = (False, "near duplicates in different parts of the split")
    CONSTANT = (False, "an image that is all one value")
    CLIPPED = (False, "clipped: many pixels at the highest value")

    @property
    def is_error(self) -> bool:
        return self.value[0]

    @property
    def meaning(self) -> str:
        return self.value[1]


@dataclass
class Findings:
    """What was found, by kind."""

    counts: dict[Kind, int] = field(default_factory=lambda: defaultdict(int))
    examples: dict[Kind, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: Kind, where: str) -> None:
        """Count a fault; the first few places are kept."""
        self.counts[kind] += 1
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(where)

    @property
    def errors(self) -> int:
        return sum(count for kind, count in self.counts.items() if kind.is_error)

    @property
    def warnings(self) -> int:
        return sum(count for kind, count in self.counts.items() if not kind.is_error)

    def to_json(self) -> list[dict[str, Any]]:
        """A row a kind, errors first."""
        return [
            {
                "kind": kind.name.lower(),
                "severity": "error" if kind.is_error else "warning",
                "meaning": kind.meaning,
                "count": self.counts[kind],
                "examples": self.examples[kind],
            }
            for kind in Kind
            if kind in self.counts
        ]
