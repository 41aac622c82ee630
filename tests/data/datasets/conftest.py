"""What a set makes of a tree of files: its subjects, and the records of each."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jaxssl.data.datasets import Set
from jaxssl.data.ingest.loading import Hearers
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.ingest.records import records_of
from jaxssl.data.record import Record
from jaxssl.data.subject import Subject


@pytest.fixture
def listed() -> Callable[[Set, Path], dict[str, Subject]]:
    """The subjects by name, in their order; nothing may be rejected."""

    def of(kind: Set, source: Path) -> dict[str, Subject]:
        found = list(kind.subjects(source, lambda path, reason: pytest.fail(f"{path}: {reason}")))
        assert len({subject.name for subject in found}) == len(found)
        return {subject.name: subject for subject in found}

    return of


@pytest.fixture
def made(listed) -> Callable[[Set, Path], dict[str, list[Record]]]:
    """The records of each subject; nothing may be rejected."""

    def of(kind: Set, source: Path) -> dict[str, list[Record]]:
        def fail(path: Path, reason: str) -> None:
            pytest.fail(f"{path}: {reason}")

        names, hearers = Pseudonyms(bytes(32), kind.name), Hearers(fail)
        subjects = listed(kind, source)
        return {
            name: records_of(each, names, hearers, fan=kind.fan, classes=kind.classes)
            for name, each in subjects.items()
        }

    return of
