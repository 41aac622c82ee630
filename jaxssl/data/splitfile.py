"""Small files that say who is trained on, validated on and tested on, for one store."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxssl import config
from jaxssl.data.record import MOMENTS
from jaxssl.data.splits import Split
from jaxssl.data.store import Store
from jaxssl.errors import UserError

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class SplitFile:
    """A split of the subjects of a store, and the moments of the beat that training is limited to."""

    store: str
    fingerprint: str
    parts: Split
    moments: tuple[str, ...] = ()
    made: Mapping[str, Any] = field(default_factory=dict)
    """How it was made: seed, fractions, strata, and what it is a part of."""

    @property
    def subset_seed(self) -> int | None:
        """The seed of the subset that trains, where it is one: a report tells runs of one size apart by it."""
        subset = self.made.get("subset")
        seed = subset.get("seed") if isinstance(subset, dict) else None
        return seed if isinstance(seed, int) else None

    def write(self, path: Path) -> None:
        """Write it for people and for `read_split`."""
        parts = {part: list(getattr(self.parts, part)) for part in PARTS}
        named = {"store": self.store, "fingerprint": self.fingerprint, "moments": list(self.moments)}
        config.write_json({**named, **self.made, **parts}, path)


def read_split(path: str | Path) -> SplitFile:
    """A file as `jaxssl data split` writes it, or as anyone may: the parts, with the store and its fingerprint."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder of splits: name one of them, as {path / 'split.json'}.")
    if not path.is_file():
        raise UserError(f"There is no split {path}: make one with `jaxssl data split STORE --out FOLDER`.")
    content = config.read_json(path)
    keys = ("store", "fingerprint", "moments", *PARTS)
    lists = ("moments", *PARTS)
    if (
        not isinstance(content, dict)
        or any(not isinstance(content.get(key), str) for key in ("store", "fingerprint"))
        or any(not isinstance(content.get(key), list) for key in lists)
        or not all(isinstance(value, str) for key in lists for value in content[key])
        or not set(content["moments"]) <= set(MOMENTS)
    ):
        raise UserError(f"{path} is no split: it has to say {', '.join(keys)}, as `jaxssl data split` writes them.")
    parts = Split(*(tuple(sorted(set(content[part]))) for part in PARTS))
    made = {key: value for key, value in content.items() if key not in keys}
    return SplitFile(content["store"], content["fingerprint"], parts, tuple(content["moments"]), made)


def split_of(path: str | Path, store: Store, subjects: Collection[str]) -> SplitFile:
    """The split in a file, which has to be one of this store, or of one that it was made from; subjects that it leaves
    out are in no part."""
    read = read_split(path)
    if read.fingerprint not in store.lineage:
        raise UserError(
            f"{path} is a split of {read.store} {read.fingerprint}, and {store.path} holds {store.info.name} "
            f"{store.fingerprint}: name the split's store, or split this one with `jaxssl data split`."
        )
    everyone = {name for part in PARTS for name in getattr(read.parts, part)}
    if strangers := sorted(everyone - set(subjects)):
        raise UserError(f"{path} names {strangers[0]!r}, who is not in {store.path}: take such names out of it.")
    if not read.parts.train:
        raise UserError(f"{path} leaves nobody to train on: put subjects in its train list.")
    return read
