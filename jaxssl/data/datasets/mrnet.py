"""MRNet, knee MR of Stanford."""

from collections.abc import Iterator
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.subject import Series, Subject

PLANES = ("axial", "coronal", "sagittal")
FINDINGS = ("abnormal", "acl", "meniscus")
ANSWERS = {"1": "yes", "0": "no"}


class MRNet(Set):
    """MRNet: knee MR in three planes with findings, stacks of 8-bit images of which nobody knows the geometry.

    1370 examinations, 1130 for training, 120 for validation, 120 that are not given out. To be had from Stanford, after
    an agreement.

        train/axial/0000.npy, train/coronal/..., train/sagittal/...         [slice, 256, 256]
        train-abnormal.csv, train-acl.csv, train-meniscus.csv               0000,1: without a header
        valid/..., valid-abnormal.csv, ...

    For classification and location alone, as nobody knows how far apart slices are, or how large a pixel is. A slice's
    place is counted along its file. At which side that begins is not said, nor that it is the same for all, on which
    whatever learns location from this set rests. An examination is a subject; which of them are of one person is not
    said, but that nobody is in two parts, the label `split`.
    """

    modality = "knee MR"
    licence = "Stanford University School of Medicine MRNet Dataset Research Use Agreement: not to be passed on"
    citation = "Bien et al., PLoS Medicine 15(11):e1002699, 2018, 10.1371/journal.pmed.1002699"
    layout = "train/axial/0000.npy and train-abnormal.csv"

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The examinations of both parts."""
        for part in ("train", "valid"):
            for folder in sorted(path for path in source.rglob(part) if (path / PLANES[0]).is_dir()):
                yield from _examinations(folder)


def _examinations(folder: Path) -> Iterator[Subject]:
    found = {finding: folder.with_name(f"{folder.name}-{finding}.csv") for finding in FINDINGS}
    answers = {finding: tables.pairs(path) for finding, path in found.items() if path.is_file()}
    stacks = {plane: folder / plane for plane in PLANES}
    for name in sorted({file.stem for stack in stacks.values() for file in stack.glob("*.npy")}):
        labels = {finding: ANSWERS.get(own.get(name, ""), "") for finding, own in answers.items()}
        files = {plane: stack / f"{name}.npy" for plane, stack in stacks.items()}
        series = [
            Series((file,), view=plane, labels=tables.known(split=folder.name, **labels), placed=False, ordered=True)
            for plane, file in files.items()
            if file.is_file()
        ]
        yield Subject(name, tuple(series))
