"""M&Ms-2, the Multi-Disease, Multi-View and Multi-Center Right Ventricular Segmentation Challenge."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.masks import ByFile, ByFrame, Volume
from jaxssl.data.datasets.mnms import CODES
from jaxssl.data.formats import Unreadable, read
from jaxssl.data.record import CINE_CLASSES
from jaxssl.data.subject import Series, Subject

VIEWS = {"SA": "sax", "LA": "4ch"}
STILL = re.compile(r"_E[DS](_gt)?\.nii\.gz$")


class MnMs2(Set):
    """M&Ms-2: short-axis and four-chamber cine MR of eight groups from three vendors, ED and ES segmented.

    360 patients: 160 for training, 40 for validation, 160 for testing. To be had from the challenge's page at the
    University of Barcelona.

        dataset_information.csv                 SUBJECT_CODE, DISEASE, VENDOR, SCANNER, FIELD
        dataset/001/001_SA_ED.nii.gz            a volume
                    001_SA_ED_gt.nii.gz         1 LV, 2 MYO, 3 RV
                    001_SA_CINE.nii.gz          all frames, ED and ES among them
                    and the same of SA_ES and of LA

    Which frames of a cine are ED and ES is nowhere said, and is told by their pixels when subjects are listed: the
    first frame that is equal is that moment and has its mask, and the volume itself is left out. One that is no frame
    of its cine, or has none that is whole, is of a study of its own.
    """

    modality = "cardiac MR"
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

    def images(self, source: Path) -> Iterable[Path]:
        """All but those of ED and ES that lie beside their cine."""
        for path in super().images(source):
            cine = path.with_name(STILL.sub("_CINE.nii.gz", path.name))
            if cine == path or not cine.is_file():
                yield path


def _series(folder: Path, row: Mapping[str, str]) -> Iterator[Series]:
    labels = tables.known(
        vendor=row.get("VENDOR", ""),
        scanner=row.get("SCANNER", ""),
        field=row.get("FIELD", ""),
        group=row.get("DISEASE", ""),
    )
    for short, view in VIEWS.items():
        stem = f"{folder.name}_{short}"
        cine = folder / f"{stem}_CINE.nii.gz"
        files = {at: path for at in tables.MOMENTS if (path := folder / f"{stem}_{at}.nii.gz").is_file()}
        drawn = {at: Volume(path, CODES) for at in files if (path := folder / f"{stem}_{at}_gt.nii.gz").is_file()}
        frames = _frames(cine, files) if cine.is_file() else {}
        if cine.is_file():
            yield Series(
                (cine,),
                study="cine",
                view=view,
                masks=ByFrame({frames[moment]: mask for moment, mask in drawn.items() if moment in frames}),
                labels=labels,
                moments={frame: moment for moment, frame in frames.items()},
            )
        if left := [moment for moment in files if moment not in frames]:
            yield Series(
                tuple(files[moment] for moment in left),
                study="segmented",
                view=view,
                masks=ByFile({place: drawn[moment] for place, moment in enumerate(left) if moment in drawn}),
                labels=labels,
                moments=dict(enumerate(left)),
            )


def _frames(cine: Path, stills: Mapping[str, Path]) -> dict[str, int]:
    """The frame of a cine that each volume is; of a cine that is damaged anywhere, none can be used."""
    volumes = {moment: _volume(path) for moment, path in stills.items()}
    found: dict[str, int] = {}
    try:
        for frame, images in itertools.groupby(read(cine), lambda image: image.frame):
            own = {image.slice: image.pixels for image in images}
            new = (moment for moment, wanted in volumes.items() if moment not in found and _same(own, wanted))
            if moment := next(new, ""):
                found[moment] = frame
    except (Unreadable, OSError):
        return {}
    return found


def _volume(path: Path) -> dict[int, np.ndarray]:
    """The slices of a file by number; none where it is damaged."""
    try:
        return {image.slice: image.pixels for image in read(path)}
    except (Unreadable, OSError):
        return {}


def _same(one: Mapping[int, np.ndarray], other: Mapping[int, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[place], other[place]) for place in one)
