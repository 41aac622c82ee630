"""Anything: a folder of DICOM, NIfTI, pictures and clips, with or without a csv."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from jaxssl.data.datasets import listing, volumes
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.names import NOBODY, STRUCTURAL, first_folder, vendor_of
from jaxssl.data.datasets.pairs import masks_of
from jaxssl.data.formats import header
from jaxssl.data.formats.find import find
from jaxssl.data.subject import Series, Subject
from jaxssl.errors import UserError

VOLUMES = (".nii", ".nii.gz")
CLASS = "class"
"""The label that folders of pictures may be."""
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".avi", ".mp4", ".npy")


class Folder(Set):
    """Images from a folder.

    A csv with a column `file` says whose the images are and what is known of them: `jaxssl.data.datasets.listing`. It
    is `table`, or the only one of that kind in the folder; `labels` names its columns that are labels. Without one,

    - DICOM says itself whose it is; a file without a patient belongs to the first folder that it lies in;
    - of NIfTI the folders and the names of the files tell: `jaxssl.data.datasets.volumes`. Masks lie beside the images,
      as X_gt, X_label, X_seg or X_mask, or under the same name in a folder labels or masks;
    - of pictures and clips nobody can tell, so that `subject` has to say whether everyone has a folder, or a file. In
      the latter case folders are a label if `labels` names `class`, and else kept out: they might be people. It
      decides of NIfTI as well.

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
        table: Path | None = None,
        subject: Literal["folder", "file"] | None = None,
        labels: Sequence[str] = (),
        classes: Sequence[str] = (),
    ):
        super().__init__(source, data_dir)
        self.table, self.labels = table, tuple(labels)
        self.classes = ("background", *classes) if classes else ()
        if len(set(self.classes)) < len(self.classes) or "" in self.classes:
            raise UserError(f"The classes {', '.join(classes)} are named twice, or not at all, or name the background.")
        self.subject: Literal["folder", "file"] | None = subject

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The subjects of all kinds of files, by name."""
        table = self.table or listing.only_table(source)
        if table is not None:
            yield from listing.subjects(source, table, self.labels, reject)
            return
        if self.labels and (self.labels, self.subject) != ((CLASS,), "file"):
            raise UserError(
                f"{source} has no csv with columns that --labels could name: add one, or say --subject file --labels "
                f"{CLASS} if its folders are classes."
            )
        images, others = find(source)
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
        if self.subject is None and paths:
            folders = sorted({first_folder(path, source) or "." for path in paths})
            raise UserError(
                f"Whose the {len(paths)} pictures and clips in {source} are cannot be told (folders: "
                f"{', '.join(folders[:8])}): add a csv with the columns file and subject, or say --subject folder "
                "if each folder is one person, --subject file if each is another person and folders are classes."
            )
        folders = {path: first_folder(path, source) for path in paths}
        sorts = sorted({folder for folder in folders.values() if folder and not STRUCTURAL(folder)})
        if self.subject == "file" and sorts and not self.labels:
            reject(source, f"its folders, as {sorts[0]}, are no labels: say --labels {CLASS} if they are classes")
        for path, mask in masks_of(paths, source, reject).items():
            study, folder = path.relative_to(source).as_posix(), folders[path]
            name = study if self.subject == "file" else folder or source.resolve().name
            labels = {CLASS: folder} if self.labels and folder in sorts else {}
            yield name, Series((path,), study=study, masks=mask, labels=labels)


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
