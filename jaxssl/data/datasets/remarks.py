"""A csv that says more of images whose files tell themselves whose they are, as DICOM does.

With a column `file` and none of subjects it is about files:

    file            from the source, or the folder of the csv where that lies in the source
    moment          ED or ES
    mask            a file with the codes of the structures, in the image's own grid
    frame           of a file with several, counted from 0

With a column `subject` and none of files it is about people: subjects as the files call them (of DICOM the patient ID),
and labels, as in a table that lists images.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jaxssl.data.datasets.base import Reject
from jaxssl.data.datasets.columns import Refused, Table, moment_of, number_of
from jaxssl.data.datasets.masks import ByFile, ByFrame
from jaxssl.data.subject import Masks, Series, Subject
from jaxssl.errors import UserError


def with_remarks(
    subjects: Iterable[Subject], tables: Sequence[Table], wanted: Sequence[str], reject: Reject
) -> list[Subject]:
    """The subjects with what the tables say of their files, and of themselves; `wanted` names columns of labels."""
    found = list(subjects)
    for table in tables:
        about_files = "file" in table.columns
        found = _of_files(found, table, reject) if about_files else _of_people(found, table, wanted, reject)
    return found


@dataclass(frozen=True)
class _Remark:
    """What a row says of an image."""

    place: str
    """What a reader calls the row."""
    frame: int | None
    moment: str
    mask: Masks | None


def _of_files(subjects: Sequence[Subject], table: Table, reject: Reject) -> list[Subject]:
    """A table of which nothing can be used is refused: what it says was meant to be there."""
    if not {"moment", "mask"} & table.columns.keys():
        there = [name for key, name in table.columns.items() if key != "file"] + table.others
        raise UserError(
            f"{table.path} has no column moment or mask, which a table of files is for, but "
            f"{', '.join(there) or 'none'} beside file: call one so; labels stand in a table of people, with a column "
            "subject."
        )
    known = {table.columns[name] for name in ("file", "phase", "moment", "mask") if name in table.columns}
    if left := [name for name in (*table.columns.values(), *table.others) if name not in known]:
        reject(table.path, f"its columns {', '.join(left)} are left out: labels stand in a table of people")
    remarks, refusals = defaultdict(list), []
    for place, field, _ in table.fields():
        try:
            said = _Remark(place, number_of(field, "phase"), moment_of(field), table.mask(field))
            remarks[table.file(field["file"])].append(said)
        except Refused as refused:
            refusals.append(f"{place} {refused}")
            reject(table.folder / field["file"], refusals[-1])
    images = {file.resolve() for subject in subjects for series in subject.series for file in series.files}
    for file in remarks:  # in the order of the table, for the list of rejects is the same each time
        if file not in images:
            for said in remarks[file]:
                refusals.append(f"{said.place} names {file.name}, which is no image of anybody")
                reject(file, f"{said.place} names it, which is no image of anybody")
    if not any(said.moment or said.mask for file in remarks.keys() & images for said in remarks[file]):
        why = refusals[0] if refusals else "none has a moment or a mask"
        where = f"; files and masks are looked for in {table.folder}" if " names " in why else ""
        raise UserError(f"No row of {table.path} can be used: {why}{where}.")
    return [
        replace(subject, series=tuple(_remarked(each, remarks, reject) for each in subject.series))
        for subject in subjects
    ]


def _remarked(series: Series, remarks: Mapping[Path, Sequence[_Remark]], reject: Reject) -> Series:
    """A series of several files has one image in each; that of one file may have many."""
    alone, said = len(series.files) == 1, {}
    for number, file in enumerate(series.files):
        for remark in remarks.get(file.resolve(), ()):
            key = (remark.frame or 0) if alone else number
            if key in said or (remark.frame and not alone):
                why = "names it again" if key in said else "names a frame, and its series has a file for each image"
                reject(file, f"{remark.place} {why}")
            else:
                said[key] = remark
    masks = {key: remark.mask for key, remark in said.items() if remark.mask}
    moments = {key: remark.moment for key, remark in said.items() if remark.moment}
    return replace(
        series,
        masks=(ByFrame if alone else ByFile)(masks) if masks else series.masks,
        moments={**series.moments, **moments},
    )


def _of_people(subjects: Sequence[Subject], table: Table, wanted: Sequence[str], reject: Reject) -> list[Subject]:
    names, labels = table.labels(wanted, reject), {}
    known = {subject.name for subject in subjects}
    for place, field, row in table.fields():
        who = field["subject"]
        if who in labels or who not in known:
            reject(
                table.path, f"{place} names {'somebody again' if who in labels else 'nobody of whom there is an image'}"
            )
        else:
            labels[who] = {name: row[name] for name in names if row[name]}
    return [
        replace(
            subject,
            series=tuple(
                replace(each, labels={**each.labels, **labels.get(subject.name, {})}) for each in subject.series
            ),
        )
        for subject in subjects
    ]
