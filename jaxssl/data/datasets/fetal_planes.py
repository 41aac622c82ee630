"""FETAL_PLANES_DB, common maternal-fetal ultrasound planes."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.subject import Series, Subject

TABLE = "FETAL_PLANES_DB_data.csv"
VIEWS = {
    "Fetal abdomen": "abdomen",
    "Fetal brain": "brain",
    "Fetal femur": "femur",
    "Fetal thorax": "thorax",
    "Maternal cervix": "cervix",
    "Other": "other",
}
BRAIN = "Fetal brain"
OTHER = "Other"
SPLITS = {"1": "train", "0": "test"}


class FetalPlanes(Set):
    """FETAL_PLANES_DB: fetal ultrasound in six classes of planes, brains in three more, without masks.

    12 400 images of 1792 patients from two hospitals in Barcelona. To be had from Zenodo, record 3904280.

        FETAL_PLANES_DB_data.csv        Image_name; Patient_num; Plane; Brain_plane; Operator; US_Machine; Train
        Images/Patient00001_Plane1_1_of_2.png

    Nobody knows how large a pixel is. The label fine_plane is the plane, of brains that of the brain; images of all
    other planes have none, for these have nothing in common.
    """

    modality = "fetal ultrasound"
    licence = "CC BY 4.0"
    citation = "Burgos-Artizzu et al., Scientific Reports 10:10200, 2020, 10.1038/s41598-020-67076-5"
    layout = f"{TABLE} and Images/*.png"

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The patients, each image of theirs a study of its own."""
        patients = defaultdict(list)
        for path in sorted(source.rglob(TABLE))[:1]:
            for row in tables.rows(path, "Image_name", "Patient_num", "Plane", "Brain_plane"):
                patients[row["Patient_num"].zfill(5)].append(_image(path.parent / "Images", row))
        for name, series in sorted(patients.items()):
            yield Subject(name, tuple(series))


def _image(folder: Path, row: dict[str, str]) -> Series:
    name, plane = row["Image_name"], row["Plane"]
    fine = row["Brain_plane"] if plane == BRAIN else plane
    labels = tables.known(
        plane=plane,
        brain_plane=row["Brain_plane"] if plane == BRAIN and fine != OTHER else "",
        fine_plane="" if fine == OTHER else fine,
        operator=row.get("Operator", ""),
        machine=row.get("US_Machine", ""),
        split=SPLITS.get(row.get("Train", ""), ""),
    )
    return Series((folder / f"{name}.png",), study=name, view=VIEWS.get(plane, "other"), labels=labels)
