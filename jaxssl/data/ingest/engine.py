"""From a source to a store: list the subjects, have processes make their parts, join the parts."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jaxssl.data.datasets.base import Set
from jaxssl.data.ingest.loading import nobody
from jaxssl.data.ingest.merge import is_made_here, merge
from jaxssl.data.ingest.parts import Part, PartWriter, find_part
from jaxssl.data.ingest.pool import Job, run
from jaxssl.data.ingest.pseudonym import Pseudonyms, site_key
from jaxssl.data.ingest.sources import Sources, sources_of
from jaxssl.data.shards import put_text
from jaxssl.data.store import SUMMARY, UNFINISHED, Source, check_name, open_store
from jaxssl.errors import UserError
from jaxssl.files import take


@dataclass(frozen=True)
class Counts:
    """How far an ingest is; records are `joined` when all subjects are done."""

    subjects: int
    done: int = 0
    records: int = 0
    rejected: int = 0
    joined: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of an ingest; `rejects` is the list of what was left out, in whole or in part, and why.

    Of these files, `passing` may be of use another time.
    """

    store: Path
    records: int
    subjects: int
    rejected: int
    passing: int
    rejects: Path
    key: Path
    new_key: bool
    """Whether the site's key was made just now, since there was none."""
    complete_before: bool


def ingest(
    kind: Set,
    source: str | Path,
    out: str | Path,
    *,
    key_file: str | Path | None = None,
    workers: int | None = None,
    progress: Callable[[Counts], None] = nobody,
) -> Outcome:
    """Read what `kind` lists in `source` into a store at `out`, or go on with that; see `jaxssl.data.ingest`."""
    source, out = Path(source), Path(out).absolute()
    check_name(kind.name)
    if workers is not None and workers < 1:
        raise UserError(f"--workers is {workers}: at least one process has to do the work.")
    if out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out} lies in {source}, where it would be read as well: give --out a place elsewhere.")
    finished = _is_finished(out)
    key, key_path, made = site_key(key_file, out)
    sources = sources_of(kind, source, Pseudonyms(key, kind.name))
    if not finished:
        with _writing(out):
            finished = _is_finished(out)  # by another who was at work when we looked
            if not finished:
                _make(kind, out, sources, workers or _cores(), progress)
    store = open_store(out)
    if not sources.made(store, lambda read: progress(Counts(len(sources.jobs), read))):
        raise UserError(
            f"{out} is a finished store, of other files, by another key or another jaxssl: give another path, or "
            "delete it first."
        )
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)
    counts = (store.info.records, store.info.subjects, store.source.rejected, store.source.passing)
    return Outcome(out, *counts, rejects_of(out), key_path, made, finished)


def _make(kind: Set, out: Path, sources: Sources, workers: int, progress: Callable[[Counts], None]) -> None:
    """The store, from parts that are made where they are missing."""
    jobs, left_out, rejects = sources.jobs, dict(sources.left_out), rejects_of(out)
    work = PartWriter(out, sources.folder, sources.names, kind.fan, tuple(kind.classes), sources.options)
    parts, counts = _parts(work, jobs, workers, Counts(len(jobs), rejected=len(left_out)), progress)
    for file, reason in (each for part in parts for each in part.rejects.items()):
        left_out[file] = f"{left_out[file]}; {reason}" if file in left_out else reason
    _list(left_out, rejects)
    useful = [part for part in parts if part.records]
    if not useful:
        shutil.rmtree(out)
        raise UserError(f"None of the files of {sources.folder} can be used: {rejects} says why.")
    files = sources.digest(part.content for part in parts)
    made_of = Source(files, len(left_out), sum(part.passing for part in parts))

    def joined(number: int) -> None:
        progress(replace(counts, joined=number))

    merge(kind, out, useful, sources.names.key_id, made_of, sources.note, joined)


def rejects_of(store: Path) -> Path:
    """The list of what was left out: beside the store, since names of files may be those of patients."""
    return store.with_name(f"{store.name}.rejected.jsonl")


def _is_finished(out: Path) -> bool:
    """Whether there is a finished store; refuses what is neither that nor the beginning of one."""
    if not out.exists():
        return False
    there = {path.name for path in out.iterdir()} if out.is_dir() else {"a file"}
    begun = UNFINISHED in there and all(map(is_made_here, there))
    if there and not begun and SUMMARY not in there:
        raise UserError(f"{out} holds something else than the beginning of a store: give another path.")
    return SUMMARY in there


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """The folder of an unfinished store, for this process alone; says what to do where it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / UNFINISHED).mkdir(mode=0o700, exist_ok=True)  # it names files
        with (out / UNFINISHED / "lock").open("w") as lock:
            if not take(lock):
                raise UserError(f"Another `jaxssl data ingest` is at work on {out}: wait for it, or stop it.")
            yield
    except OSError as error:
        what = f"{error.filename or out}: {error.strerror or error}"
        raise UserError(
            f"{out} cannot be written ({what}): free some space, and the same command continues where it stopped."
        ) from error
    except MemoryError as error:
        raise UserError(
            f"There is not memory enough to make {out}: with fewer --workers the same command continues where it "
            "stopped."
        ) from error


def _parts(
    work: PartWriter, jobs: Sequence[Job], workers: int, counts: Counts, progress: Callable[[Counts], None]
) -> tuple[list[Part], Counts]:
    """The parts of all subjects, of which those that are there already are not made again."""
    parts: list[Part] = []

    def add(part: Part) -> None:
        nonlocal counts
        parts.append(part)
        counts = replace(
            counts,
            done=len(parts),
            records=counts.records + part.records,
            rejected=counts.rejected + len(part.rejects),
        )
        progress(counts)

    missing = []
    for job in jobs:
        if part := find_part(work.store, job.key):
            add(part)
        else:
            missing.append(job)
    for part in run(work, missing, min(workers, len(missing))):
        add(part)
    return parts, counts


def _list(left_out: Mapping[str, str], path: Path) -> None:
    """For the owner alone: names of files may be those of patients."""
    lines = [json.dumps({"file": file, "reason": reason}) + "\n" for file, reason in sorted(left_out.items())]
    if lines:
        put_text(path, "".join(lines), mode=0o600)
    else:
        path.unlink(missing_ok=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
