"""What a set lists in a folder, and whether a store was made of it."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jaxssl.data.datasets.base import Set
from jaxssl.data.ingest.merge import TIMES
from jaxssl.data.ingest.pool import Job
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.ingest.reasons import Reasons
from jaxssl.data.ingest.state import content, size, state_of, time
from jaxssl.data.store import Store
from jaxssl.data.subject import Subject


@dataclass(frozen=True)
class Sources:
    """A job for each subject in a folder, and why files were left out before anything was read."""

    folder: Path
    names: Pseudonyms
    options: str
    """In which sets differ that read the same files."""
    jobs: Sequence[Job]
    left_out: Mapping[str, str]

    @property
    def note(self) -> str:
        """What is known without reading a file: a line for the sizes of all, and one for their times."""
        sizes = self.digest(self.state(job.subject, size) for job in self.jobs)
        return f"{sizes}\n{self.digest(job.key for job in self.jobs)}\n"

    def state(self, subject: Subject, about: Callable[[Path], list[int | str]]) -> str:
        """Names a subject by what is said `about` its files."""
        return state_of(subject, self.folder, self.options, self.names, about)

    def digest(self, states: Iterable[str]) -> str:
        """One name for the states of all subjects, and for what was left out."""
        return self.names.digest("sources", json.dumps([sorted(states), self.left_out], sort_keys=True))

    def made(self, store: Store, read: Callable[[int], None]) -> bool:
        """Whether a store was made of these files, or of copies of them, which have other times.

        Where that cannot be ruled out they are read, and `read` hears of how many subjects.
        """
        before = (store.path / TIMES).read_text(encoding="utf-8") if (store.path / TIMES).is_file() else ""
        if before == self.note:
            return True
        if before.splitlines()[:1] != self.note.splitlines()[:1]:
            return False
        contents = []
        for job in self.jobs:
            contents.append(self.state(job.subject, content))
            read(len(contents))
        return self.digest(contents) == store.source.files


def sources_of(kind: Set, folder: Path, names: Pseudonyms) -> Sources:
    """List a set; a subject that is listed twice is one all the same."""
    people: dict[str, Subject] = {}
    reasons, options = Reasons(), json.dumps([kind.fan, *kind.classes])
    for subject in kind.subjects(folder, reasons.add):
        before = people.get(subject.name)
        people[subject.name] = replace(subject, series=before.series + subject.series) if before else subject
    for name in people:
        names.subject(name)  # which notices if two have the same pseudonym
    jobs = [Job(subject, state_of(subject, folder, options, names, time)) for subject in people.values()]
    return Sources(folder, names, options, jobs, reasons.by_file(folder))
