"""ACDC, the Automated Cardiac Diagnosis Challenge."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.masks import ByFile, ByFrame, Volume
from jaxssl.data.record import CINE_CLASSES
from jaxssl.data.subject import Series, Subject

FRAME = re.compile(r"_frame\d+(_gt)?\.nii\.gz$")


class ACDC(Set):
    """ACDC: short-axis cine MR of healthy hearts and of four diseases, ED and ES segmented.

    150 patients, 30 a group (NOR, DCM, HCM, MINF, RV), of the University Hospital of Dijon, on two Siemens scanners of
    1.5 and 3 T: 100 for training, 50 for testing. To be had from the challenge's page at Creatis (Lyon).

        training/patient001/Info.cfg                                    ED: 1, ES: 12 (from 1), Group: DCM, ...
                            patient001_4d.nii.gz                        the cine
                            patient001_frame01.nii.gz, ..._frame12...   ED and ES again, taken where there is no cine
                            patient001_frame01_gt.nii.gz, ...           1 RV, 2 MYO, 3 LV
        testing/patient101/...

    or, of a smaller copy with neither cines nor frame numbers, subjects.csv (subject, group, ...) with
    subjects/patient001_ED.nii.gz, patient001_ED_gt.nii.gz, and the same of ES.

    The files say how large a voxel is, and not where it lies. Their slices run from base to apex (in the 140 volumes of
    70 patients the half with the lower numbers has more of the RV), so that the order of the stack is known.
    """

    modality = "cardiac MR"
    licence = "CC BY-NC-SA 4.0"
    citation = "Bernard et al., IEEE Transactions on Medical Imaging 37(11):2514-2525, 2018, 10.1109/TMI.2018.2837502"
    layout = "training/patient001/Info.cfg, or subjects.csv with subjects/patient001_ED.nii.gz"
    classes = CINE_CLASSES

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The patients of either layout."""
        for about in sorted(source.rglob("Info.cfg"), key=lambda path: (path.parent.name, path)):
            info = tables.settings(about)
            moments = tables.moments(info, 1, lambda reason, about=about: reject(about, reason))
            words = {f"frame{place + 1:02d}": moment for place, moment in moments.items()}
            if words:
                yield _patient(about.parent, about.parent.name, info.get("Group", ""), words)
            else:
                reject(about, "it names neither ED nor ES: the patient is left out")
        if (table := source / "subjects.csv").is_file():
            for row in tables.rows(table, "subject", "group"):
                yield _patient(source / "subjects", row["subject"], row["group"], {"ED": "ED", "ES": "ES"})

    def images(self, source: Path) -> Iterable[Path]:
        """All but the frames of ED and ES that lie beside their cine."""
        return (
            path
            for path in super().images(source)
            if not (FRAME.search(path.name) and path.with_name(f"{path.parent.name}_4d.nii.gz").is_file())
        )


def _patient(folder: Path, name: str, group: str, words: dict[str, str]) -> Subject:
    """By the words in the names of the files of ED and ES: "frame01", from 1, or the moments themselves."""
    labels = tables.known(group=group)
    drawn = [folder / f"{name}_{word}_gt.nii.gz" for word in words]
    masks = [Volume(path) if path.is_file() else None for path in drawn]
    cine = folder / f"{name}_4d.nii.gz"
    if cine.is_file():
        places = [int(word.removeprefix("frame")) - 1 for word in words]
        files, by = (cine,), ByFrame
    else:
        places = list(range(len(words)))
        files, by = tuple(folder / f"{name}_{word}.nii.gz" for word in words), ByFile
    moments = dict(zip(places, words.values(), strict=True))
    known = {place: mask for place, mask in zip(places, masks, strict=True) if mask is not None}
    series = Series(files, view="sax", masks=by(known), labels=labels, moments=moments, placed=False, ordered=True)
    return Subject(name, (series,))
