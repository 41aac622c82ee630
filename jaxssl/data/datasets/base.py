"""What a data set says of itself, how its subjects are listed, and how tensorflow-datasets would have it used."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from jaxssl.data.subject import Subject
from jaxssl.errors import UserError

Reject = Callable[[Path, str], None]
"""Hears of a file that a list names and that cannot be used, and why."""


VERSION = "1.0.0"
"""Of the layout of records; tensorflow-datasets has it in the path of each set."""


class Set(ABC):
    """A data set in the layout in which it is distributed.

    It is known by the name of its module; the first line of its docstring describes it. Listing the subjects reads
    names, tables and at most the headers of images.

    With a `source` and a `data_dir` it goes where a builder of tensorflow-datasets goes, without TensorFlow:

    >>> acdc = ACDC(source="downloads/ACDC", data_dir="stores")     # doctest: +SKIP
    >>> acdc.download_and_prepare()                                 # doctest: +SKIP
    >>> acdc.as_data_source("records")[0]["image"]                  # doctest: +SKIP

    and then `tfds.data_source("acdc", data_dir="stores", split="records")` finds it.
    """

    name: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    layout: ClassVar[str]
    """Files by which a source is known, for a user who named another folder."""
    classes: ClassVar[tuple[str, ...]] = ()
    """What the codes of the masks mean."""
    fan: ClassVar[bool] = False
    """Whether everything outside the part of an image in which echoes lie is to be blackened."""

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
        nobody = True
        for subject in self.listed(source, reject):
            yield subject
            nobody = False
        if nobody:
            raise UserError(f"Nothing of {self.name} is in {source}: name the folder that holds {self.layout}.")

    @abstractmethod
    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The subjects in a folder that there is; none where it holds something else."""
