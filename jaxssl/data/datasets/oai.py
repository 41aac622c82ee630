"""The Osteoarthritis Initiative."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.formats import header
from jaxssl.data.subject import Series, Subject

RELEASE, PATIENT, DATE = re.compile(r"\d+\.[A-Z]\.\d"), re.compile(r"9\d{6}"), re.compile(r"\d{8}")
SEQUENCE = re.compile(r"(SAG_IW_TSE|COR_IW_TSE|SAG_3D_DESS|COR_T1_3D_FLASH)_(LEFT|RIGHT)")
VIEWS = {
    "SAG_IW_TSE": "sagittal",
    "COR_IW_TSE": "coronal",
    "SAG_3D_DESS": "sagittal_dess",
    "COR_T1_3D_FLASH": "coronal_flash",
}


class OAI(Set):
    """OAI: knee MR as DICOM with geometry, both knees over years, without masks.

    4796 people at the beginning, examined on Siemens Trio scanners of 3 T in four centres. To be had from the NIMH Data
    Archive, after an agreement.

        00m/0.E.1/9000099/20050802/10263603/001, 002, ...       examination, release, person, date, series; no endings

    Taken are the sequences SAG_IW_TSE, COR_IW_TSE, SAG_3D_DESS and COR_T1_3D_FLASH, which their headers name; T2 maps,
    localisers, thighs and radiographs are not. A knee at a date is a study.
    """

    modality = "knee MR"
    licence = "the OAI data use agreement: research, not to be passed on"
    citation = "Peterfy et al., Osteoarthritis and Cartilage 16(12):1433-1441, 2008, 10.1016/j.joca.2008.06.016"
    layout = "00m/0.E.1/9000099/20050802/10263603/001"

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The people of all releases that are there."""
        folders = [source, *source.glob("*"), *source.glob("*/*")]  # farther down lie millions of files
        people = defaultdict(list)
        for release in sorted(folder for folder in folders if RELEASE.fullmatch(folder.name)):
            for path in sorted(release.iterdir()):
                if PATIENT.fullmatch(path.name):
                    people[path.name].append(path)
        for name, own in sorted(people.items()):
            if series := [each for path in own for each in _series(path)]:
                yield Subject(name, tuple(series))

    def images(self, source: Path) -> Iterable[Path]:
        """None: of millions of files most are of sequences that are not taken."""
        return ()


def _series(person: Path) -> Iterator[Series]:
    """The sequences of a person in one release that are taken."""
    for folder in sorted(path for path in person.glob("*/*") if path.is_dir() and DATE.fullmatch(path.parent.name)):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        first = header(files[0]) if files else None
        if first is not None and (found := SEQUENCE.search(first.about.upper())):
            sequence, side = found.groups()
            labels = {"side": side.lower(), "sequence": sequence}
            yield Series(tuple(files), study=f"{folder.parent.name} {side}", view=VIEWS[sequence], labels=labels)
