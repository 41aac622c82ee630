"""HC18, automated measurement of the fetal head circumference."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.masks import Ellipse, Pictures
from jaxssl.data.subject import Series, Subject

NAME = re.compile(r"(\d+)_\d*HC")
TABLES = {
    "training_set": "training_set_pixel_size_and_HC.csv",
    "test_set": "test_set_pixel_size.csv",
}
"""Folders and tables. The same number is in both another woman."""


class HC18(Set):
    """HC18: fetal heads in the standard plane for the head circumference, the head outlined by an ellipse.

    1334 images, 999 for training and 335 for testing without outlines, from 551 pregnant women of Radboud University
    Medical Center, Nijmegen. 010_HC and 010_2HC are one subject: the training images have 806 numbers, which is all
    that is said of who is who. To be had from Zenodo, record 1327317.

        training_set/000_HC.png, 000_HC_Annotation.png (the outline)
        training_set_pixel_size_and_HC.csv          filename, pixel size(mm), head circumference (mm)
        test_set/000_HC.png
        test_set_pixel_size.csv

    or, of a smaller copy, hc18.csv (file, subject, pixel_mm_in_this_copy), images/000_HC.png and masks/000_HC.png, in
    which the outlines are filled.
    """

    modality = "fetal ultrasound"
    licence = "CC BY 4.0"
    citation = "van den Heuvel et al., PLoS ONE 13(8):e0200412, 2018, 10.1371/journal.pone.0200412"
    layout = "training_set/000_HC.png with training_set_pixel_size_and_HC.csv, or images/000_HC.png with hc18.csv"
    classes = ("background", "head")
    fan = True  # beside many images stands a grey scale

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The numbers of either layout, each image a study of its own."""
        heads = defaultdict(list)
        for part, table in TABLES.items():
            for path in sorted(source.rglob(table))[:1]:
                images = {image.name: image for image in (path.parent / part).rglob("*HC.png")}
                for row in tables.rows(path, "filename", "pixel size(mm)"):
                    name = row["filename"]
                    file = images.get(name, path.parent / part / name)
                    outline = file.with_name(f"{file.stem}_Annotation.png")
                    masks = Ellipse(outline) if outline.is_file() else None
                    head = _head(file, row["pixel size(mm)"], masks, part.removesuffix("_set"), reject)
                    heads[f"{part} {_number(name)}"] += head
        if (path := source / "hc18.csv").is_file():
            for row in tables.rows(path, "file", "subject", "pixel_mm_in_this_copy"):
                file, mask = source / "images" / row["file"], Pictures((source / "masks" / row["file"],))
                heads[row["subject"]] += _head(file, row["pixel_mm_in_this_copy"], mask, "training", reject)
        for name, series in sorted(heads.items()):
            yield Subject(name, tuple(series))


def _head(file: Path, size: str, masks: Ellipse | Pictures | None, part: str, reject: Reject) -> Iterator[Series]:
    """The image, unless its table does not say how large it is: no circumference could be had from it."""
    spacing = tables.spacing(size)
    if spacing is None:
        reject(file, f"its pixel size is {size!r}, which is no size in mm")
    else:
        yield Series((file,), study=file.stem, view="head", masks=masks, labels={"split": part}, spacing=spacing)


def _number(name: str) -> str:
    """The subject in the name of a file."""
    found = NAME.match(name)
    return found[1] if found else name
