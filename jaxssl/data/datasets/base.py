"""What a data set says of itself, how its subjects are listed, and how tensorflow-datasets would have it used."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from jaxssl.data.datasets import tables
from jaxssl.data.formats.find import find
from jaxssl.data.subject import Series, Subject, files_of
from jaxssl.errors import UserError

Reject = Callable[[Path, str], Any]
"""Hears of a file that a list names and that cannot be used, and why."""

UNKNOWN = "neither a table nor the layout of the set tells whose it is"

VERSION = "1.0.0"
"""Of the layout of records; tensorflow-datasets has it in the path of each set."""


class Set(ABC):
    """A data set in the layout in which it is distributed.

    It is known by the name of its module; the first line of its docstring describes it. Listing the subjects reads
    names and tables, headers where these tell whose an image is, and pixels where nothing else does: in BUSI and POCUS,
    and in M&Ms-2 which moment it is.

    With a `source` and a `data_dir` it goes where a builder of tensorflow-datasets goes, without TensorFlow:

        acdc = ACDC(source="downloads/ACDC", data_dir="stores")
        acdc.download_and_prepare()
        acdc.as_data_source("records")[0]["image"]

    and then `tfds.data_source("acdc", data_dir="stores", split="records")` finds it.
    """

    name: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    layout: ClassVar[str]
    """Files by which a source is known, for a user who named another folder."""
    modality: ClassVar[str]
    """What was examined, and how, in two or three words."""
    classes: tuple[str, ...] = ()
    """What the codes of the masks mean."""
    fan: bool = False
    """Whether images show more than echoes, such as letters and scales, which is to be blackened."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name = cls.__module__.rpartition(".")[2]

    def __init__(self, source: str | Path | None = None, data_dir: str | Path | None = None):
        self.source, self.data_dir = source, data_dir

    def download_and_prepare(self, key_file: Path | None = None, workers: int | None = None) -> None:
        """Make the store, as `jaxssl data ingest` does; nothing is downloaded. One that is there is left as it is."""
        from jaxssl.data.ingest.engine import ingest

        if self.source is None:
            raise UserError(f"{self.name} is never downloaded: give the folder that holds {self.layout} as `source`.")
        ingest(self, self.source, self.path, key_file=key_file, workers=workers)

    def as_data_source(self, split: str = "records") -> Any:
        """The records of the store as tensorflow-datasets gives them, by number."""
        import tensorflow_datasets as tfds

        from jaxssl.data.store import open_store

        builder: Any = tfds.builder_from_directory(open_store(self.path).path)
        return builder.as_data_source(split)

    @property
    def path(self) -> Path:
        """Where tensorflow-datasets looks for the set in a folder of sets."""
        if self.data_dir is None:
            raise UserError(f"Where {self.name} lies, or is to lie, is not known: give a `data_dir`.")
        return Path(self.data_dir) / self.name / VERSION

    @property
    def description(self) -> str:
        """One line."""
        return (self.__doc__ or "").strip().splitlines()[0]

    def subjects(self, source: str | Path, reject: Reject = lambda path, reason: None) -> Iterator[Subject]:
        """Everyone in the folder `source`, in an order that depends on names alone."""
        source = Path(source)
        if not source.is_dir():
            raise UserError(f"{source} is no folder: name the one that holds {self.layout}.")
        known: set[Path] = set()
        nobody = True

        def told(path: Path, reason: str) -> None:
            known.add(path)
            reject(path, reason)

        for subject in self.listed(source, told):
            known.update(files_of(subject.series))
            if series := tuple(each for each in subject.series if _stays_in(source, each, told)):
                yield replace(subject, series=series)
                nobody = False
        if nobody:
            raise UserError(f"Nothing of {self.name} is in {source}: name the folder that holds {self.layout}.")
        for path in _unknown(self.images(source), known):
            reject(path, UNKNOWN)

    @abstractmethod
    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The subjects in a folder that there is; none where it holds something else."""

    def images(self, source: Path) -> Iterable[Path]:
        """The images in a folder, of which each one belongs to somebody: others are told, lest they go unseen."""
        return find(source)[0]


def _stays_in(source: Path, series: Series, reject: Reject) -> bool:
    """Whether all that a series names lies in the source."""
    outside = [path for path in files_of(series) if not tables.is_inside(path, source)]
    for path in outside:
        reject(path, tables.OUTSIDE)
    return not outside


def _unknown(images: Iterable[Path], known: Collection[Path]) -> Iterator[Path]:
    """The images that are not known, under another name either."""
    left = [path for path in images if path not in known]
    real = {os.path.realpath(path) for path in known} if left else ()
    return (path for path in left if os.path.realpath(path) not in real)
