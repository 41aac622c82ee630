"""M&Ms, the Multi-Centre, Multi-Vendor and Multi-Disease Cardiac Image Segmentation Challenge."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.masks import Volume
from jaxssl.data.record import CINE_CLASSES
from jaxssl.data.subject import Series, Subject
from jaxssl.errors import UserError

CODES = (0, CINE_CLASSES.index("LV"), CINE_CLASSES.index("MYO"), CINE_CLASSES.index("RV"))
"""Its masks count LV, MYO, RV, the other way round than ACDC's."""


class MnMs(Set):
    """M&Ms: short-axis cine MR from five centres and four vendors, ED and ES segmented.

    345 patients in the open release (375 in the challenge): 175 for training, of which the 25 of one vendor are not
    segmented, 34 for validation, 136 for testing. To be had from the challenge's page at the University of Barcelona.

        211230_M&Ms_Dataset_information_diagnosis_opendataset.csv   External code, VendorName, Vendor, Centre, ED and ES
                                                                    (from 0), Pathology, ...
        Training/Labeled/A0S9V9/A0S9V9_sa.nii.gz                    the cine
                                A0S9V9_sa_gt.nii.gz                 1 LV, 2 MYO, 3 RV in ED and ES, empty elsewhere
        Training/Unlabeled/..., Validation/..., Testing/...
    """

    modality = "cardiac MR"
    licence = "not known here: see the terms of the challenge"
    citation = "Campello et al., IEEE Transactions on Medical Imaging 40(12):3543-3554, 2021, 10.1109/TMI.2021.3090082"
    layout = "the csv with the column 'External code', and Training/Labeled/A0S9V9/A0S9V9_sa.nii.gz"
    classes = CINE_CLASSES

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The patients whose cine is there."""
        cines = sorted(source.rglob("*_sa.nii.gz"), key=lambda path: (path.name, path))
        about = _about(source) if cines else {}
        for cine in cines:
            name = cine.name.removesuffix("_sa.nii.gz")
            if name not in about:
                reject(cine, f"no csv has a row of {name}: no moments, no masks and no labels, the images kept")
            yield _patient(cine, name, about.get(name, {}), reject)


def _patient(cine: Path, name: str, row: Mapping[str, str], reject: Reject) -> Subject:
    moments = tables.moments(row, 0, lambda reason: reject(cine, reason))
    drawn = cine.with_name(f"{name}_sa_gt.nii.gz")
    masks = Volume(drawn, CODES, tuple(moments)) if drawn.is_file() else None
    vendor = row.get("VendorName") or row.get("Vendor", "")
    labels = tables.known(vendor=vendor, centre=row.get("Centre", ""), group=row.get("Pathology", ""))
    return Subject(name, (Series((cine,), view="sax", masks=masks, labels=labels, moments=moments),))


def _about(source: Path) -> dict[str, dict[str, str]]:
    """The rows of the csv by patient."""
    for path in sorted(source.rglob("*.csv")):
        table = tables.rows(path)
        if table and "External code" in table[0]:
            return {row["External code"]: row for row in table}
    raise UserError(f"{source} has no csv with the column 'External code', which names ED and ES: add that of the set.")
