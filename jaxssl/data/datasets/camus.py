"""CAMUS, Cardiac Acquisitions for Multi-structure Ultrasound Segmentation."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.masks import ByFile, Volume
from jaxssl.data.subject import Series, Subject

VIEWS = {"2CH": "2ch", "4CH": "4ch"}
STILL = re.compile(r"_E[DS](_gt)?\.nii\.gz$")


class CAMUS(Set):
    """CAMUS: echocardiography of two and four chambers from ED to ES, segmented.

    500 patients of the University Hospital of St Etienne, examined on GE Vivid E95 scanners: 2000 images of ED and ES,
    and the frames between. To be had from Creatis (Lyon), as NIfTI.

        database_nifti/patient0001/Info_2CH.cfg                         ED: 1, ES: 18, NbFrame, ImageQuality, EF, ...
                                   patient0001_2CH_ED.nii.gz
                                   patient0001_2CH_ED_gt.nii.gz         1 LV, 2 myocardium, 3 left atrium
                                   patient0001_2CH_half_sequence.nii.gz and its _gt: the frames from ED to ES
                                   and the same of ES and of 4CH

    A view is its half sequence where there is one, else the images of ED and ES, which are frames of it. The files say
    how large a pixel is, and not where it lies.
    """

    modality = "echocardiography"
    licence = "CC BY-NC-SA 4.0"
    citation = "Leclerc et al., IEEE Transactions on Medical Imaging 38(9):2198-2210, 2019, 10.1109/TMI.2019.2900516"
    layout = "patient0001/Info_2CH.cfg and patient0001/patient0001_2CH_ED.nii.gz"
    classes = ("background", "LV", "MYO", "LA")

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The patients with at least one view."""
        folders = {path.parent for path in source.rglob("Info_*CH.cfg")}
        for folder in sorted(folders, key=lambda folder: (folder.name, folder)):
            yield Subject(folder.name, tuple(_series(folder, reject)))

    def images(self, source: Path) -> Iterable[Path]:
        """All but those of ED and ES that lie beside their half sequence."""
        for path in super().images(source):
            clip = path.with_name(STILL.sub("_half_sequence.nii.gz", path.name))
            if clip == path or not clip.is_file():
                yield path


def _series(folder: Path, reject: Reject) -> Iterator[Series]:
    for short, view in VIEWS.items():
        about = folder / f"Info_{short}.cfg"
        if not about.is_file():
            continue
        said, stem = tables.settings(about), f"{folder.name}_{short}"
        common = {"view": view, "labels": tables.known(quality=said.get("ImageQuality", "")), "placed": False}
        clip, drawn = (folder / f"{stem}_half_sequence{end}.nii.gz" for end in ("", "_gt"))
        if clip.is_file():
            frames = tables.moments(said, 1, lambda reason, about=about: reject(about, reason))
            masks = Volume(drawn, clip=True) if drawn.is_file() else None
            yield Series((clip,), masks=masks, moments=frames, clip=True, **common)
        else:
            files = [folder / f"{stem}_{moment}.nii.gz" for moment in tables.MOMENTS]
            masks = [folder / f"{stem}_{moment}_gt.nii.gz" for moment in tables.MOMENTS]
            yield Series(
                tuple(files),
                masks=ByFile({place: Volume(path) for place, path in enumerate(masks) if path.is_file()}),
                moments=dict(enumerate(tables.MOMENTS)),
                **common,
            )
