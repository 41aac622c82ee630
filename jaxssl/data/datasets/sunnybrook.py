"""The Sunnybrook Cardiac Data, as the Cardiac Atlas Project distributes them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.masks import ByFile, Contours
from jaxssl.data.formats.find import find
from jaxssl.data.record import CINE_CLASSES
from jaxssl.data.subject import Series, Subject

CONTOUR = re.compile(r"IM-\d+-(\d+)-([io])contour-manual\.txt")
CINES, NUMBER = "CINE[SL]AX*", re.compile(r"-(\d+)$")
CODES = {"o": CINE_CLASSES.index("MYO"), "i": CINE_CLASSES.index("LV")}
"""Of the inside of an outer and of an inner contour, in the order in which they are drawn."""
Contoured = Mapping[int, tuple[tuple[int, Path], ...]]
"""Code and file of the contours of a patient's images, by their numbers."""


class Sunnybrook(Set):
    """Sunnybrook Cardiac Data: cine MR as DICOM with contours of the left ventricle.

    45 patients in four groups (heart failure with and without infarction, hypertrophy, healthy), the data of the MICCAI
    2009 left ventricle challenge. To be had from the Cardiac Atlas Project.

        scd_patientdata.csv                                     PatientID, OriginalID, Pathology, ...
        SCD_IMAGES_01/SCD0000101/CINESAX_300/IM-0003-0048.dcm   and CINELAX_...; scouts, perfusion, late enhancement
        SCD_ManualContours/SC-HF-I-01/contours-manual/IRCCI-expert/IM-0001-0048-icontour-manual.txt
                                                                inner, and ocontour: outer, of short-axis image 48

    An image with an inner contour alone has LV in its mask and no MYO; the RV is in none. Contours of papillary muscles
    (p1contour, p2contour) are not used: they belong to the LV here, as in ACDC.
    """

    modality = "cardiac MR"
    licence = "CC0 1.0"
    citation = "Radau et al., The MIDAS Journal, 2009, hdl.handle.net/10380/3070"
    layout = "scd_patientdata.csv, SCD_IMAGES_01/SCD0000101/CINESAX_300/*.dcm and SCD_ManualContours"
    classes = CINE_CLASSES

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The patients with a cine."""
        found = source.rglob("scd_patientdata.csv")
        about = {row["PatientID"]: row for path in found for row in tables.rows(path, "PatientID", "OriginalID")}
        contours = _contours(source)
        patients = defaultdict(list)
        for folder in sorted(source.rglob(CINES)):
            patients[folder.parent.name].append(folder)
        for name, folders in sorted(patients.items()):
            row = about.get(name, {})
            own = contours.pop(_number(row.get("OriginalID", "")), {})
            labels = tables.known(group=row.get("Pathology", ""))
            drawn = _drawn_on(folders, own, reject) if own else None
            yield Subject(name, tuple(_series(each, own if each == drawn else {}, labels) for each in folders))
        for images in contours.values():
            for _, path in (each for drawn in images.values() for each in drawn):
                reject(path, "no patient that is here has its name as the original one")

    def images(self, source: Path) -> Iterable[Path]:
        """Those of cines."""
        return (path for folder in sorted(source.rglob(CINES)) for path in find(folder)[0])


def _drawn_on(folders: Sequence[Path], contours: Contoured, reject: Reject) -> Path | None:
    """The short-axis cine that the contours are of, where there are several: that with most of the images that they
    name, and of these the one of most files."""
    short = {folder: _files(folder) for folder in folders if folder.name.startswith("CINESAX")}
    rank = {each: (len(contours.keys() & _numbers(files).values()), len(files)) for each, files in short.items()}
    best = [folder for folder in short if rank[folder] == max(rank.values())]
    if len(best) == 1:
        return best[0]
    reject(folders[0].parent, f"its contours may be of {len(best)} short-axis cines: no masks, the images kept")


def _series(folder: Path, contours: Contoured, labels: Mapping[str, str]) -> Series:
    files = _files(folder)
    drawn = {place: contours[number] for place, number in _numbers(files).items() if number in contours}
    masks = ByFile({place: Contours(paths) for place, paths in drawn.items()})
    view = "sax" if folder.name.startswith("CINESAX") else ""
    return Series(files, view=view, masks=masks, labels=labels)


def _files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("*.dcm")))


def _numbers(files: Sequence[Path]) -> dict[int, int]:
    """The number in the name of each file, by its place."""
    found = {place: NUMBER.search(path.stem) for place, path in enumerate(files)}
    return {place: int(number[1]) for place, number in found.items() if number}


def _contours(source: Path) -> dict[str, Contoured]:
    """The contours by the patient's original name."""
    found = defaultdict(lambda: defaultdict(dict))
    for path in sorted(source.rglob("IM-*contour-manual.txt")):
        if named := CONTOUR.fullmatch(path.name):
            patient = next((folder.name for folder in path.parents if folder.name.startswith("SC-")), "")
            found[_number(patient)][int(named[1])][named[2]] = path
    return {
        patient: {
            image: tuple((CODES[kind], paths[kind]) for kind in CODES if kind in paths)
            for image, paths in images.items()
        }
        for patient, images in found.items()
    }


def _number(patient: str) -> str:
    """SC-HF-I-1 of the table is SC-HF-I-01 of the contours."""
    return re.sub(r"\d+$", lambda digits: str(int(digits[0])), patient)
