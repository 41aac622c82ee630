"""The Second Annual Data Science Bowl of Kaggle, 2015/16."""

import re
from collections.abc import Iterator
from pathlib import Path

from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.subject import Series, Subject

FOLDER = re.compile(r"(sax|2ch|4ch)_\d+")


class KaggleDSB(Set):
    """Kaggle Data Science Bowl 2015: cine MR as DICOM, short axis, two and four chambers, without masks.

    1140 studies, each of another patient: 500 for training, 200 for validation, 440 for testing. To be had from the
    competition's page at Kaggle, whose rules apply; it ended in March 2016.

        train/1/study/sax_5/IM-4562-0001.dcm        each slice has a folder, with a file a phase
                      2ch_21/..., 4ch_22/...
        validate/501/study/..., test/701/study/...

    The left ventricle's volumes in ED and ES, in train.csv, are numbers and no classes, and are left where they are.
    """

    modality = "cardiac MR"
    licence = "the competition's rules: research and education, not to be passed on"
    citation = "Second Annual Data Science Bowl, Kaggle and Booz Allen Hamilton, 2015"
    layout = "train/1/study/sax_5/IM-4562-0001.dcm"

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The patients of all parts, by number."""
        studies = [path for path in source.rglob("study") if path.is_dir()]
        for study in sorted(studies, key=lambda path: (path.parent.name.zfill(6), path)):
            folders = [(FOLDER.fullmatch(folder.name), folder) for folder in sorted(study.iterdir())]
            series = [
                Series(tuple(sorted(folder.glob("*.dcm"))), view=named[1])
                for named, folder in folders
                if named is not None
            ]
            yield Subject(study.parent.name, tuple(each for each in series if each.files))
