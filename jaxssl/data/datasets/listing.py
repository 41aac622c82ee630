"""A csv that lists images: whose they are, and what is known of them.

    file                        from the source, or the folder of the csv where that lies in the source
    subject (or patient, patient_id, subject_id)    anything that tells people apart
    study, view, moment (ED, ES), mask (a file)
    slice, phase (or frame)                         whole numbers, which put the files of a study in order
    spacing (or pixel_spacing, pixel_size ...)      in mm: one number, or two, along y and along x

Only `file` and `subject` have to be there. Files of one study and view that have a slice, a phase or a moment are one
stack; of several files with one moment, and no slice, each is another slice, in the order of the table. All others are
images by themselves.

Labels are the columns that the user names; where none is named, those that go by a usual name, such as group or plane.
A column with a date or a long number in it is none.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject
from jaxssl.data.datasets.columns import Refused, Row, Table, moment_of, number_of
from jaxssl.data.datasets.masks import ByFile
from jaxssl.data.personal import is_personal
from jaxssl.data.record import MOMENTS
from jaxssl.data.subject import Masks, Series, Subject


@dataclass(frozen=True)
class _Listed:
    """What a row says of a file."""

    file: Path
    name: str
    """Of the file, as the table has it."""
    study: str
    view: str
    slice: int | None
    phase: int | None
    moment: str
    mask: Masks | None
    labels: Row
    spacing: tuple[float, float] | None

    @property
    def stack(self) -> tuple:
        """The same for files of one stack."""
        counted = self.slice is not None, self.phase is not None
        if self.study and (any(counted) or self.moment):
            return self.study, self.view, self.spacing or (), counted
        return (self.name,)


def subjects(table: Table, wanted: Sequence[str], reject: Reject) -> Iterator[Subject]:
    """The subjects of a table, by name; `wanted` names the columns that are labels."""
    labels = table.labels(wanted, reject)
    people, seen = defaultdict(lambda: defaultdict(list)), set()
    for place, field, row in table.fields():
        try:
            if not field["file"] or not field["subject"]:
                raise Refused("names no file, or no subject")
            file = table.file(field["file"])
            if file in seen:
                raise Refused("names it again")
            seen.add(file)
            listed = _listed(table, field, {name: row[name] for name in labels if row[name]})
            people[field["subject"]][listed.stack].append(listed)
        except Refused as refused:
            reject(table.folder / field["file"] if field["file"] else table.path, f"{place} {refused}")
    for name, stacks in sorted(people.items()):
        yield Subject(name, tuple(_series(files, reject) for files in stacks.values()))


def _listed(table: Table, field: Row, labels: Row) -> _Listed:
    moment, size = moment_of(field), field.get("spacing", "")
    if is_personal(field.get("view", "")):
        raise Refused("has a view that looks like a name, a date or an id")
    mask = table.mask(field)
    spacing = tables.spacing(size) if size else None
    if size and spacing is None:
        raise Refused(f"has the spacing {size!r}, which is no size in mm")
    return _Listed(
        table.folder / field["file"],
        field["file"],
        study=field.get("study", ""),
        view=field.get("view", ""),
        slice=number_of(field, "slice"),
        phase=number_of(field, "phase"),
        moment=moment,
        mask=mask,
        labels=labels,
        spacing=spacing,
    )


def _series(files: Sequence[_Listed], reject: Reject) -> Series:
    """One acquisition; labels that do not hold for all of its files are left out."""
    slices = _slices(files)
    order = sorted(range(len(files)), key=lambda i: (slices[i], files[i].phase or 0, MOMENTS.index(files[i].moment)))
    files, slices = [files[i] for i in order], [slices[i] for i in order]
    first = files[0]
    labels = {name: value for name, value in first.labels.items() if all(f.labels.get(name) == value for f in files)}
    if lost := sorted({name for each in files for name in each.labels} - labels.keys()):
        what = ", ".join(lost)
        reject(first.file, f"{what} differ within its study {first.study}: no labels of that stack, the images kept")
    masks = {place: each.mask for place, each in enumerate(files) if each.mask is not None}
    return Series(
        tuple(each.file for each in files),
        study=first.study or first.name,
        view=first.view,
        masks=ByFile(masks) if masks else None,
        labels=labels,
        moments={place: each.moment for place, each in enumerate(files) if each.moment},
        slices=dict(enumerate(slices)) if len(set(slices)) > 1 else {},
        spacing=first.spacing,
    )


def _slices(files: Sequence[_Listed]) -> list[int]:
    """The slice of each file: as the table says, else how often its moment was there before."""
    times, found = Counter(), []
    for each in files:
        counted = each.moment and each.phase is None
        found.append(each.slice if each.slice is not None else times[each.moment] if counted else 0)
        times[each.moment] += 1
    return found
