"""Anything: a folder of DICOM, NIfTI, pictures and clips, with or without a csv."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from jaxssl.data.datasets import listing, volumes
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.columns import COLUMNS, Table
from jaxssl.data.datasets.names import NOBODY, STRUCTURAL, first_folder, vendor_of
from jaxssl.data.datasets.pairs import masks_of
from jaxssl.data.datasets.remarks import with_remarks
from jaxssl.data.formats import header
from jaxssl.data.formats.find import find
from jaxssl.data.subject import Series, Subject
from jaxssl.errors import UserError

VOLUMES = (".nii", ".nii.gz")
CLASS = "class"
"""The label that folders of pictures may be."""
ABOUT = {"file", "subject"}
"""A table is of one of these, or lists both."""
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".avi", ".mp4", ".npy")


class Folder(Set):
    """Images from a folder.

    A csv with the columns `file` and `subject` says whose the images are and what is known of them, and only those that
    it lists are taken: `jaxssl.data.datasets.listing`. It is the one of `tables`, or the only one of that kind in the
    folder; `labels` names its columns that are labels. Without one,

    - DICOM says itself whose it is; a file without a patient belongs to the first folder that it lies in;
    - of NIfTI the folders and the names of the files tell: `jaxssl.data.datasets.volumes`. Masks lie beside the images,
      as X_gt, X_label, X_seg or X_mask, or under the same name in a folder labels or masks;
    - of pictures and clips nobody can tell, so that `subject` has to say, of more than one, whether everyone has a
      folder, or a file. In the latter case folders are a label if `labels` names `class`, and else kept out: they might
      be people. It decides of NIfTI as well.

    Then `tables` with one of these two columns say more of them: `jaxssl.data.datasets.remarks`.

    `fan` blackens what lies beside the echoes also where no file says that it is of ultrasound.
    `classes` are the names of the codes 1, 2, ... of the masks; where none is given, they go by their numbers.
    """

    modality = "any"
    licence = "not stated: the terms of whoever owns the images"
    citation = ""
    layout = "DICOM, NIfTI, PNG, JPEG, GIF, AVI, MP4 or NPY files"

    def __init__(
        self,
        source: str | Path | None = None,
        data_dir: str | Path | None = None,
        tables: Sequence[Path] = (),
        subject: Literal["folder", "file"] | None = None,
        labels: Sequence[str] = (),
        classes: Sequence[str] = (),
        fan: bool = False,
    ):
        super().__init__(source, data_dir)
        self.tables, self.labels, self.fan = tuple(tables), tuple(labels), fan
        self.classes = ("background", *classes) if classes else ()
        if len(set(self.classes)) < len(self.classes) or "" in self.classes:
            raise UserError(f"The classes {', '.join(classes)} are named twice, or not at all, or name the background.")
        self.subject: Literal["folder", "file"] | None = subject

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The subjects of all kinds of files, by name."""
        tables = [Table(path, source) for path in self.tables]
        if lists := _listing(source, tables):
            yield from listing.subjects(lists, self.labels, reject)
            return
        about_people = any("subject" in table.columns for table in tables)
        if self.labels and not about_people and (self.labels, self.subject) != ((CLASS,), "file"):
            raise UserError(
                f"{source} has no csv with columns that --labels could name: add one, or say --subject file --labels "
                f"{CLASS} if its folders are classes."
            )
        beside = {path for table in tables for path in table.beside()}
        yield from with_remarks(self._found(source, beside, reject), tables, self.labels, reject)

    def _found(self, source: Path, beside: Collection[Path], reject: Reject) -> Iterator[Subject]:
        """The subjects that files, their names and their folders tell of; files `beside` are none of theirs."""
        images, others = ([path for path in paths if path.resolve() not in beside] for paths in find(source))
        for path in others:
            reject(path, "it is no image")
        kinds = defaultdict(list)
        for path in images:
            kinds[_kind(path)].append(path)
        people = defaultdict(list)
        for name, series in [
            *_dicom(source, kinds["dicom"]),
            *volumes.series(source, kinds["volumes"], self.subject, reject),
            *self._pictures(source, kinds["pictures"], bool(kinds["dicom"] or kinds["volumes"]), reject),
        ]:
            people[name].append(series)
        for name, series in sorted(people.items()):
            yield Subject(name, tuple(series))

    def _pictures(self, source: Path, paths: list[Path], beside: bool, reject: Reject) -> Iterator[tuple[str, Series]]:
        """Each picture or clip a study of its own; `beside` files that say whose they are, none holds these up."""
        if self.subject is None and beside:
            for path in paths:
                reject(path, "whose it is cannot be told: say --subject folder or --subject file")
            return
        images = masks_of(paths, source, reject)
        if self.subject is None and len(images) > 1:
            folders = sorted({first_folder(path, source) or "." for path in images})
            raise UserError(
                f"Whose the {len(images)} pictures and clips in {source} are cannot be told (folders: "
                f"{', '.join(folders[:8])}): put a csv with the columns file and subject into it, or say --subject "
                "folder if each folder is one person, --subject file if each is another person and folders are classes."
            )
        folders = {path: first_folder(path, source) for path in images}
        sorts = sorted({folder for folder in folders.values() if folder and not STRUCTURAL(folder)})
        if self.subject == "file" and sorts and not self.labels:
            reject(source, f"its folders, as {sorts[0]}, are no labels: say --labels {CLASS} if they are classes")
        for path, mask in images.items():
            study, folder = path.relative_to(source).as_posix(), folders[path]
            name = study if self.subject == "file" else folder or source.resolve().name
            labels = {CLASS: folder} if self.labels and folder in sorts else {}
            yield name, Series((path,), study=study, masks=mask, labels=labels)


def _listing(source: Path, given: Sequence[Table]) -> Table | None:
    """The table that lists all images, if there is one: of those given, or else of those in the source."""
    for table in given:
        if not ABOUT & table.columns.keys():
            what = " nor ".join(" or ".join(COLUMNS[each]) for each in sorted(ABOUT))
            there = ", ".join(table.others) or "none at all"
            raise UserError(f"{table.path} has no column {what}, but {there}: add it.")
    tables = given or [Table(path, source) for path in sorted(source.glob("*.csv"))]
    lists = [table for table in tables if table.columns.keys() >= ABOUT]
    if lists and len(given or lists) > 1:
        names = ", ".join(table.path.name for table in given or lists)
        raise UserError(f"{source} has several tables, {names}, though one lists all images: name that alone by --csv.")
    return next(iter(lists), None)


def _kind(path: Path) -> str:
    name = path.name.lower()
    return "volumes" if name.endswith(VOLUMES) else "pictures" if name.endswith(PICTURES) else "dicom"


def _dicom(source: Path, paths: Iterable[Path]) -> Iterator[tuple[str, Series]]:
    """The series of each patient; of a file without a header, which cannot be read, its folder is one."""
    series = defaultdict(list)
    for path in paths:
        about, folder = header(path), path.parent.as_posix()
        if about is None:
            series[first_folder(path, source) or folder, "", folder].append((0, path, ""))
            continue
        named = "" if NOBODY(about.patient) else about.patient
        who = named or first_folder(path, source) or folder
        key = who, about.study, about.series or folder
        series[key].append((about.number or 0, path, about.manufacturer))
    for (who, study, _), files in sorted(series.items()):
        files.sort()
        vendor = next((vendor for _, _, vendor in files if vendor), "")
        labels = {"vendor": vendor_of(vendor)} if vendor else {}
        yield who, Series(tuple(path for _, path, _ in files), study=study, labels=labels)
