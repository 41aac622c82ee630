"""`data ingest`: files of a scanner or of a public set, made into a store."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from jaxssl.data.datasets import set_of
from jaxssl.data.ingest.engine import Counts, Outcome, ingest
from jaxssl.data.store import open_store
from jaxssl.errors import LeftOut
from jaxssl.run.terminal import bar_on, console_of

REASONS = 3
"""For which most files were left out, and that are said; all stand in the list."""
NAMES = re.compile(
    r"(?<=\bnames )\S[^;]*(?=, which)|(?<=, as )[^:;]+|'[^']*'|\S*[\d/\\][^\s,;:]*|[^\s;]+\.(?!csv\b)\w{2,4}\b"
)
"""What of a reason may be the name of somebody or of a file."""


def data_ingest(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")],
    out: Path,
    key: Path | None = None,
    workers: int | None = None,
    strict: bool = False,
    csv: tuple[Path, ...] = (),
    labels: tuple[str, ...] = (),
    subject: Literal["folder", "file"] | None = None,
    classes: tuple[str, ...] = (),
    fan: bool = False,
) -> Path:
    """Make a store of a public data set, or of any folder of DICOM, NIfTI, PNG, JPEG and clips.

    The same command goes on where it was stopped. Names of people, dates and UIDs stay outside: subjects and studies
    get pseudonyms by the site's key. What cannot be used is left out, and listed beside the store with the reason.

    >>> jaxssl.data_ingest("folder", "scans", "stores/mine", subject="file", key="site.key").name
    'mine'

    Args:
        name: A public set, such as acdc (a wrong name lists them), or folder for anything else.
        source: The folder that the set lies in.
        out: Folder of the new store.
        key: The site's key; that of your configuration unless given, and made where there is none. Keep it: by it the
            same subject has the same name in every store.
        workers: Processes that read files; one a core unless given.
        strict: End with exit code 3 if anything was left out.
        csv: Of a folder: a table that lists its images, with columns file, subject, study, view, moment, mask, slice,
            phase, spacing. Or tables that say more of files which tell themselves whose they are, as DICOM does: one
            of files, with columns file, moment, mask; one of people, with a column subject and labels.
        labels: Of such a table: the columns that are labels; unless given, those of usual names, such as group.
            Of pictures with --subject file: class, where folders are classes and not people.
        subject: Of a folder of pictures: whether each folder or each file is another subject.
        classes: Of a folder: the names of the codes 1, 2, ... of its masks, as RV MYO LV.
        fan: Of a folder of ultrasound: blacken all beside the fan also in pictures and clips, as in DICOM always.
    """
    console = console_of(None)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn())
    with bar_on(console, *columns) as bar:
        reading = bar.add_task("listing subjects", total=None, said="")
        joining = bar.add_task("joining", visible=False, said="images")

        def progress(counts: Counts) -> None:
            said = f"{counts.done}/{counts.subjects} subjects, {counts.records} images, {counts.rejected} left out"
            bar.update(reading, description="reading files", total=counts.subjects, completed=counts.done, said=said)
            if counts.joined:
                bar.update(joining, total=counts.records, completed=counts.joined, visible=True)

        outcome = ingest(
            set_of(name, csv, subject, labels, classes, fan),
            source,
            out,
            key_file=key,
            workers=workers,
            progress=progress,
        )
    _say(console, outcome)
    if strict and outcome.rejected:
        raise LeftOut(
            f"{outcome.rejected} files were left out, in whole or in part, under --strict: see {outcome.rejects}."
        )
    return outcome.store


def _commonest(rejects: Path) -> list[tuple[str, int]]:
    """The reasons for which most files were left out; names and numbers, which may be somebody's, stay in the list."""
    lines = rejects.read_text().splitlines() if rejects.exists() else []
    reasons = (reason for line in lines for reason in set(without_names(json.loads(line)["reason"]).split("; ")))
    return Counter(reasons).most_common(REASONS)


def without_names(reason: str) -> str:
    """A reason as it is for all files alike.

    >>> without_names("row 12 of masks.csv names Doe, Ada/a.png, which is not in SCANS")
    'row … of masks.csv names …, which is not in SCANS'
    """
    return NAMES.sub("\u2026", reason)


def _say(console: Console, outcome: Outcome) -> None:
    before = " It was complete already." if outcome.complete_before else ""
    info = open_store(outcome.store).info
    masks = f", {info.masked} of them with masks," if info.masked else ", none with a mask,"
    console.print(f"{outcome.records} images of {outcome.subjects} subjects{masks} in {outcome.store}.{before}")
    if info.masked and info.classes[1:] == [str(code) for code in range(1, len(info.classes))]:
        console.print(f"Structures in the masks go by their codes, 1 to {len(info.classes) - 1}: --classes names them.")
    if outcome.rejected:
        console.print(f"{outcome.rejected} files left out, in whole or in part: see {outcome.rejects}.")
        for reason, files in _commonest(outcome.rejects):
            console.print(f"  {files} because {reason}")
    if outcome.passing:
        console.print(
            f"{outcome.passing} of them may be of use another time, since something is not installed, or a disk or a "
            f"process failed: mend that, delete {outcome.store}, and give the same command again.",
        )
    made = "made just now: keep it, and to yourselves" if outcome.new_key else "by which the same names come again"
    console.print(f"Pseudonyms are by the key {outcome.key}, {made}.")
