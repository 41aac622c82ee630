"""BUSI, breast ultrasound images."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.alike import gathered
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.masks import Pictures
from jaxssl.data.subject import Series, Subject

GROUPS = ("benign", "malignant", "normal")
MASK = re.compile(r"(.+)_mask(_\d+)?")


@dataclass(frozen=True)
class _Picture:
    """An image, the name under which it may be there several times, its masks and its group."""

    file: Path
    name: str
    masks: tuple[Path, ...]
    group: str


class BUSI(Set):
    """BUSI: breast ultrasound, benign, malignant and normal, lesions segmented.

    780 images (437 benign, 210 malignant, 133 normal) of 600 women of Baheya Hospital, Cairo. Who is on which image is
    not said, and many are the same but for a caption: images that nearly are the same are taken for one subject. To be
    had from the page of the article, or from Kaggle.

        Dataset_BUSI_with_GT/benign/benign (1).png, benign (1)_mask.png
                                    benign (4).png, benign (4)_mask.png, benign (4)_mask_1.png      two lesions
                             malignant/..., normal/... (with masks in which nothing is)

    or, of another copy, busi.csv (file, mask, label), in which pairs/benign_015.png has a mask and is the same picture
    as images/benign_015.png. Nobody knows how large a pixel is.
    """

    modality = "breast ultrasound"
    licence = "not stated by the authors; marked CC BY 4.0 or CC0 where it is passed on"
    citation = "Al-Dhabyani et al., Data in Brief 28:104863, 2020, 10.1016/j.dib.2019.104863"
    layout = "benign/benign (1).png with benign (1)_mask.png, or busi.csv"
    classes = ("background", "lesion")

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The clusters of pictures that nearly are the same, each picture a study of its own."""
        pictures = [*_folders(source), *_table(source / "busi.csv", reject)]
        subject_of = gathered(((picture.name, picture.file) for picture in pictures), source)
        subjects = defaultdict(list)
        for picture in pictures:
            subjects[subject_of[picture.name]].append(_series(picture, source))
        for name, series in sorted(subjects.items()):
            yield Subject(name, tuple(series))


def _folders(source: Path) -> Iterator[_Picture]:
    for group in GROUPS:
        masks, files = defaultdict(list), []
        for file in sorted(source.rglob(f"{group}/*.png")):
            if found := MASK.fullmatch(file.stem):
                masks[file.with_name(found[1])].append(file)
            else:
                files.append(file)
        for file in files:
            yield _Picture(file, file.stem, tuple(masks[file.with_suffix("")]), group)


def _table(path: Path, reject: Reject) -> Iterator[_Picture]:
    for row in tables.rows(path, "file", "mask", "label") if path.is_file() else ():
        file, mask = path.parent / row["file"], row["mask"]
        if tables.is_inside(file, path.parent):  # which is looked at before anyone else asks
            yield _Picture(file, file.stem, (path.parent / mask,) if mask else (), row["label"])
        else:
            reject(file, tables.OUTSIDE)


def _series(picture: _Picture, source: Path) -> Series:
    masks = Pictures(picture.masks) if picture.masks else None
    study = picture.file.relative_to(source).as_posix()
    return Series((picture.file,), study=study, view="breast", masks=masks, labels={"group": picture.group})
