"""Anything: a folder of DICOM, NIfTI, pictures and clips, with or without a csv."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from jaxssl.data.datasets import listing, volumes
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.names import NOBODY, STRUCTURAL, first_folder, images_among, mask_of, vendor_of
from jaxssl.data.formats import header
from jaxssl.data.formats.find import find
from jaxssl.data.personal import is_personal
from jaxssl.data.subject import Series, Subject
from jaxssl.errors import UserError

VOLUMES = (".nii", ".nii.gz")
PICTURES = (".png", ".jpg", ".jpeg", ".avi", ".mp4", ".npy")


class Folder(Set):
    """Images from a folder.

    A csv with a column `file` says whose the images are and what is known of them: `jaxssl.data.datasets.listing`. It
    is `table`, or the only one of that kind in the folder; `labels` names its columns that are labels. Without one,

    - DICOM says itself whose it is; a file without a patient belongs to the first folder that it lies in;
    - of NIfTI the folders and the names of the files tell: `jaxssl.data.datasets.volumes`. Masks lie beside the images,
      as X_gt, X_label, X_seg or X_mask, or under the same name in a folder labels or masks;
    - of pictures and clips nobody can tell, so that `subject` has to say whether everyone has a folder, or a file. In
      the latter case folders are classes, the label `class`, unless they might be people: there are more of them than
      each has images on average, or one has a single image, or a date or the like in its name. It decides of NIfTI as
      well.
    """

    licence = "not stated: the terms of whoever owns the images"
    citation = ""
    layout = "DICOM, NIfTI, PNG, JPEG, AVI, MP4 or NPY files"

    def __init__(
        self,
        source: str | Path | None = None,
        data_dir: str | Path | None = None,
        table: Path | None = None,
        subject: Literal["folder", "file"] | None = None,
        labels: Sequence[str] = (),
    ):
        super().__init__(source, data_dir)
        self.table, self.labels = table, labels
        self.subject: Literal["folder", "file"] | None = subject

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The subjects of all kinds of files, by name."""
        table = self.table or listing.only_table(source)
        if table is not None:
            yield from listing.subjects(source, table, self.labels, reject)
            return
        images, others = find(source)
        for path in others:
            reject(path, "it is no image")
        kinds = defaultdict(list)
        for path in images:
            kinds[_kind(path)].append(path)
        people = defaultdict(list)
        for name, series in [
            *_dicom(source, kinds["dicom"], reject),
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
        there, images = set(paths), images_among(paths, reject)
        classes = _classes(source, images, reject) if self.subject == "file" else set()
        for path in images:
            study = path.relative_to(source).as_posix()
            folder = first_folder(path, source)
            name = study if self.subject == "file" else folder or source.resolve().name
            labels = {"class": folder} if folder in classes else {}
            yield name, Series((path,), study=study, masks=mask_of(path, there), labels=labels)


def _kind(path: Path) -> str:
    name = path.name.lower()
    return "volumes" if name.endswith(VOLUMES) else "pictures" if name.endswith(PICTURES) else "dicom"


def _classes(source: Path, images: Sequence[Path], reject: Reject) -> set[str]:
    """The folders that are classes and not people; says how many may be the latter."""
    folders = (first_folder(path, source) for path in images)
    sizes = Counter(folder for folder in folders if folder and not STRUCTURAL(folder))
    few = len(sizes) ** 2 <= sizes.total()
    classes = {folder for folder, size in sizes.items() if few and size > 1 and not is_personal(folder)}
    if people := len(sizes) - len(classes):
        reject(source, f"{people} of its {len(sizes)} folders may be people: no label class, the images kept")
    return classes


def _dicom(source: Path, paths: Iterable[Path], reject: Reject) -> Iterator[tuple[str, Series]]:
    """The series of each patient; of a file without a header, which cannot be read, its folder is one."""
    series = defaultdict(list)
    for path in paths:
        about, folder = header(path), path.parent.as_posix()
        if about is None:
            series[first_folder(path, source) or folder, "", folder].append((0, path, "", ""))
            continue
        named = "" if NOBODY(about.patient) else about.patient
        who = named or first_folder(path, source) or folder
        key = who, about.study, about.series or folder
        series[key].append((about.number or 0, path, about.manufacturer, about.instance))
    for (who, study, _), files in sorted(series.items()):
        files.sort()
        vendor = next((vendor for _, _, vendor, _ in files if vendor), "")
        labels = {"vendor": vendor_of(vendor)} if vendor else {}
        paths = _once([(path, instance) for _, path, _, instance in files], reject)
        yield who, Series(tuple(paths), study=study, labels=labels)


def _once(files: Sequence[tuple[Path, str]], reject: Reject) -> list[Path]:
    """The files of a series, of those with the same SOPInstanceUID the first: others would become phases that never
    were.

    Where UIDs are the same as a rule, somebody has written one over many, and they tell nothing.
    """
    named = [instance for _, instance in files if instance]
    different = len(set(named))
    if different < len(named) and (different == 1 or 2 * different < len(named)):
        reject(files[0][0], "its series has one SOPInstanceUID for many files, so that copies cannot be told: all kept")
        return [path for path, _ in files]
    first: dict[str, Path] = {}
    for path, instance in files:
        if (same := first.setdefault(instance or str(path), path)) is not path:
            reject(path, f"it has the SOPInstanceUID of {same.name}")
    return list(first.values())
