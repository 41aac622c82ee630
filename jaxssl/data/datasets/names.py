"""What the names of files and folders tell: views, moments, whose an image is, which file is its mask."""

import itertools
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from jaxssl.data.datasets.base import Reject
from jaxssl.data.datasets.masks import Picture, Together, Volume
from jaxssl.data.study.words import view_in
from jaxssl.data.subject import Masks, files_of

SUFFIXES = tuple(f"{dash}{word}" for dash in "_-." for word in ("gt", "label", "labels", "seg", "mask"))
LABELS = ("labels", "label", "masks", "mask")
MASK = re.compile(rf".+({'|'.join(map(re.escape, SUFFIXES))}|_mask_\d+)").fullmatch
DRAWN = re.compile(r"(labels?|masks?)(T[rs])?").fullmatch
STRUCTURAL = re.compile(
    r"(images?|labels?|masks?|data|training|train|testing|test|validation|valid|val)(T[rs])?", re.I
).fullmatch
"""Folders that sort files, and are nobody."""
NOBODY = re.compile(
    r"[\W_]*|0+|anon(ym(ous|i[sz]ed)?)?|unknown|none|null|n/?a|test|phantom|x+|patient|no[ _]?(name|id)", re.I
).fullmatch
"""What stands for a patient where somebody has taken the name away, or given none."""
VENDORS = (
    *("canon", "esaote", "fujifilm", "hitachi", "mindray", "philips", "samsung", "siemens", "toshiba"),
    *("united imaging", "ge"),
)
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


def images_among(paths: Sequence[Path], reject: Reject) -> list[Path]:
    """The files that are no masks; one with the name of a mask and without an image is rejected."""
    there = set(paths)
    masks = set(files_of([mask_of(path, there) for path in paths]))
    images = []
    for path in paths:
        if path not in masks and (MASK(stem_of(path)) or DRAWN(path.parent.name)):
            reject(path, "by its name it is the mask of an image, which is not there")
        elif path not in masks:
            images.append(path)
    return images


def mask_of(path: Path, among: Collection[Path]) -> Masks | None:
    """The mask of an image, of files there are: beside it with a suffix, or of the same name in a folder for masks.

    Numbered ones, X_mask, X_mask_1 and so on, are one.
    """
    stems = dict.fromkeys((stem_of(path), stem_of(path).removesuffix("_0000")))
    folders = [path.parent / name for name in LABELS] + [path.parent.parent / name for name in LABELS]
    folders.append(path.parent.with_name(re.sub("images?", "labels", path.parent.name)))
    places = [path.parent / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]
    places += [folder / stem for folder in folders if folder != path.parent for stem in stems]
    for ending in (path.name[len(stem_of(path)) :], ".nii.gz", ".nii", ".png"):
        for place in places:
            if (found := place.with_name(place.name + ending)) in among and found != path:
                more = (place.with_name(f"{place.name}_{number}{ending}") for number in itertools.count(1))
                parts = [found, *itertools.takewhile(lambda file: file in among, more)]
                return as_mask(found) if len(parts) == 1 else Together(tuple(map(as_mask, parts)))
    return None


def as_mask(path: Path) -> Volume | Picture:
    """Codes in NIfTI, or in a picture."""
    return Volume(path) if path.name.lower().endswith((".nii", ".nii.gz")) else Picture(path)


def vendor_of(manufacturer: str) -> str:
    """The vendor of a scanner; the field is free text in which hospitals have been seen, so that it is never copied."""
    words = re.findall(r"[a-z]+", manufacturer.lower())
    said = f" {' '.join(words)} "
    return next((vendor for vendor in VENDORS if f" {vendor} " in said), "other")
