"""The Sunnybrook Cardiac Data, as the Cardiac Atlas Project distributes them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
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
            own = contours.get(_number(row.get("OriginalID", "")), {})
            labels = tables.known(group=row.get("Pathology", ""))
            yield Subject(name, tuple(_series(folder, own, labels) for folder in folders))

    def images(self, source: Path) -> Iterable[Path]:
        """Those of cines."""
        return (path for folder in sorted(source.rglob(CINES)) for path in find(folder)[0])


def _series(folder: Path, contours: Mapping[int, tuple[tuple[int, Path], ...]], labels: Mapping[str, str]) -> Series:
    files = sorted(folder.glob("*.dcm"))
    if not folder.name.startswith("CINESAX"):
        return Series(tuple(files), labels=labels)
    numbers = {place: NUMBER.search(path.stem) for place, path in enumerate(files)}
    drawn = {place: contours.get(int(number[1])) for place, number in numbers.items() if number}
    masks = ByFile({place: Contours(paths) for place, paths in drawn.items() if paths})
    return Series(tuple(files), view="sax", masks=masks, labels=labels)


def _contours(source: Path) -> dict[str, dict[int, tuple[tuple[int, Path], ...]]]:
    """Code and file of the contours of each image, by the patient's original name and the image's number."""
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
