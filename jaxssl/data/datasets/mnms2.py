"""M&Ms-2, the Multi-Disease, Multi-View and Multi-Center Right Ventricular Segmentation Challenge."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.masks import ByFile, Volume
from jaxssl.data.datasets.mnms import CODES
from jaxssl.data.record import CINE_CLASSES
from jaxssl.data.subject import Series, Subject

VIEWS = {"SA": "sax", "LA": "4ch"}


class MnMs2(Set):
    """M&Ms-2: short-axis and four-chamber cine MR of eight groups from three vendors, ED and ES segmented.

    360 patients: 160 for training, 40 for validation, 160 for testing. To be had from the challenge's page at the
    University of Barcelona.

        dataset_information.csv                 SUBJECT_CODE, DISEASE, VENDOR, SCANNER, FIELD
        dataset/001/001_SA_ED.nii.gz            a volume
                    001_SA_ED_gt.nii.gz         1 LV, 2 MYO, 3 RV
                    001_SA_CINE.nii.gz          all frames, ED and ES among them
                    and the same of SA_ES and of LA

    Which frames of a cine are ED and ES is nowhere said. So the cines are a study of their own, and the segmented
    frames another one.
    """

    licence = "not known here: see the terms of the challenge"
    citation = (
        "Martin-Isla et al., IEEE Journal of Biomedical and Health Informatics 27(7):3302-3313, 2023, "
        "10.1109/JBHI.2023.3267857"
    )
    layout = "dataset_information.csv and dataset/001/001_SA_ED.nii.gz"
    classes = CINE_CLASSES

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The patients with at least a file of one view."""
        about = {
            row.get("SUBJECT_CODE", "").zfill(3): row
            for path in sorted(source.rglob("dataset_information.csv"))
            for row in tables.rows(path)
        }
        folders = {path.parent for path in source.rglob("*_[SL]A_*.nii.gz")}
        for folder in sorted(folders, key=lambda folder: (folder.name, folder)):
            yield Subject(folder.name, tuple(_series(folder, about.get(folder.name, {}))))


def _series(folder: Path, row: Mapping[str, str]) -> Iterator[Series]:
    labels = tables.known(
        vendor=row.get("VENDOR", ""),
        scanner=row.get("SCANNER", ""),
        field=row.get("FIELD", ""),
        group=row.get("DISEASE", ""),
    )
    for short, view in VIEWS.items():
        stem = f"{folder.name}_{short}"
        if (cine := folder / f"{stem}_CINE.nii.gz").is_file():
            yield Series((cine,), study="cine", view=view, labels=labels)
        files = {moment: folder / f"{stem}_{moment}.nii.gz" for moment in tables.MOMENTS}
        there = [moment for moment, path in files.items() if path.is_file()]
        drawn = [folder / f"{stem}_{moment}_gt.nii.gz" for moment in there]
        masks = ByFile({place: Volume(path, CODES) for place, path in enumerate(drawn) if path.is_file()})
        if there:
            yield Series(
                tuple(files[moment] for moment in there),
                study="segmented",
                view=view,
                masks=masks,
                labels=labels,
                moments=dict(enumerate(there)),
            )
