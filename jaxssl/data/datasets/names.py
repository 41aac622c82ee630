"""What the names of files and folders tell: views, moments, whose an image is, which file is its mask."""

import re
from collections.abc import Collection
from pathlib import Path

from jaxssl.data.datasets.masks import Picture, Volume
from jaxssl.data.study.words import view_in

SUFFIXES = ("_gt", "_label", "_labels", "_seg", "_mask")
LABELS = ("labels", "label", "masks", "mask")
STRUCTURAL = re.compile(
    r"(images?|labels?|masks?|data|training|train|testing|test|validation|valid|val)(T[rs])?", re.I
).fullmatch
"""Folders that sort files, and are nobody."""
WORDS = re.compile(r"(lax?|cine|4d|ED|ES|0000)", re.I).fullmatch
"""Parts of names that are not of a person, beside views."""


def stem_of(path: Path) -> str:
    """The name without its ending, which NIfTI has two of."""
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name


def first_folder(path: Path, source: Path) -> str:
    """The outermost folder below the source that a file lies in and that is more than a sort of files, else ""."""
    folders = path.relative_to(source).parts[:-1]
    return next((folder for folder in folders if not STRUCTURAL(folder)), folders[0] if folders else "")


def moment_in(stem: str) -> tuple[str, str]:
    """A stem without the word ED or ES, and that word."""
    parts = stem.split("_")
    moments = [part.upper() for part in parts if part.upper() in ("ED", "ES")]
    rest = "_".join(part for part in parts if part.upper() not in ("ED", "ES"))
    return (rest, moments[0]) if len(moments) == 1 else (stem, "")


def identity(stem: str) -> str:
    """What of a stem may name a person: its parts up to the first with a digit, views and such left out."""
    parts = [part for part in stem.split("_") if part and not WORDS(part) and not view_in(part)]
    numbered = [place for place, part in enumerate(parts) if re.search(r"\d", part)]
    return "_".join(parts[: numbered[0] + 1] if numbered else parts)


def mask_of(path: Path, among: Collection[Path]) -> Volume | Picture | None:
    """The mask of an image, of files there are: beside it with a suffix, or of the same name in a folder for masks."""
    stems = dict.fromkeys((stem_of(path), stem_of(path).removesuffix("_0000")))
    folders = [path.parent / name for name in LABELS] + [path.parent.parent / name for name in LABELS]
    folders.append(path.parent.with_name(re.sub("images?", "labels", path.parent.name)))
    places = [path.parent / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]
    places += [folder / stem for folder in folders if folder != path.parent for stem in stems]
    for ending in (path.name[len(stem_of(path)) :], ".nii.gz", ".nii", ".png"):
        for place in places:
            if (found := place.with_name(place.name + ending)) in among and found != path:
                return as_mask(found)
    return None


def as_mask(path: Path) -> Volume | Picture:
    """Codes in NIfTI, or in a picture."""
    return Volume(path) if path.name.lower().endswith((".nii", ".nii.gz")) else Picture(path)
