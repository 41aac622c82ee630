"""Which files of a folder are masks, by their names, and of which images.

A mask of p1/a.nii.gz is p1/a_mask.nii.gz, or a.nii.gz in a folder for masks that lies in p1, beside p1, or, as in
images/p1/a.nii.gz and masks/p1/a.nii.gz, farther up; with other such words and in any case.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxssl.data.datasets.base import Reject
from jaxssl.data.datasets.masks import Picture, Together, Volume
from jaxssl.data.datasets.names import MASK_WORDS, stem_of
from jaxssl.data.subject import Masks

NAMED = re.compile(rf"(?:(?P<image>.+?)[-_. ])?(?P<word>(?:{MASK_WORDS})(?=$)|masks?(?=_\d+$))(_\d+)?", re.I).fullmatch
"""Numbered ones, X_mask, X_mask_1 and so on, are one."""
SORTED = re.compile(rf"(?:images?|imgs?|(?P<mask>{MASK_WORDS}))(?P<part>T[rs])?", re.I).fullmatch
"""Folders that tell images from masks, with the parts of a set, imagesTr and labelsTr, as nnU-Net has them."""

Place = tuple[str, ...]
"""A folder, by the names of it and of those that it lies in."""


def masks_of(paths: Sequence[Path], source: Path, reject: Reject) -> dict[Path, Masks | None]:
    """The images and their masks; a file with the name of a mask and without an image is rejected."""
    images, drawn = [], defaultdict(list)
    for path in paths:
        named, sorts = NAMED(stem_of(path)), map(SORTED, path.relative_to(source).parts[:-1])
        if named or any(sort and sort["mask"] for sort in sorts):
            drawn[_place(path.parent, source), (named["image"] or "") if named else stem_of(path)].append(path)
        else:
            images.append(path)
    found = {path: _drawn_on(path, _place(path.parent, source), drawn) for path in images}
    taken = Counter(file for own in found.values() for file in own)
    far = {path: _drawn_on(path, _place(path.parent.parent, source), drawn) for path in images if path.parent != source}
    asked = Counter(file for path, own in far.items() if not found[path] for file in own)
    for path, own in far.items():
        if not found[path] and all(asked[file] == 1 and not taken[file] for file in own):
            found[path] = own
    used = {file for own in found.values() for file in own}
    for path in (path for own in drawn.values() for path in own):
        if path not in used:
            reject(path, "by its name it is the mask of an image, which is not there, or is not the only one")
    return {path: _together(own) for path, own in found.items()}


def as_mask(path: Path) -> Volume | Picture:
    """Codes in NIfTI, or in a picture."""
    return Volume(path) if path.name.lower().endswith((".nii", ".nii.gz")) else Picture(path)


def _place(folder: Path, source: Path) -> Place:
    """Where a folder lies, whether it is one of images or of masks."""
    sorts = ((part, SORTED(part)) for part in folder.relative_to(source).parts)
    return tuple(filter(None, (sort["part"] if sort else part for part, sort in sorts)))


def _drawn_on(path: Path, place: Place, drawn: Mapping[tuple[Place, str], Sequence[Path]]) -> list[Path]:
    """The mask of an image in one place; of several there the one beside it, and of its own format if there is one."""
    stem = stem_of(path)
    for name in (stem, stem.removesuffix("_0000")):
        if found := drawn.get((place, name)):
            best = min(found, key=lambda each: (each.parent != path.parent, _ending(each) != _ending(path), each))
            return sorted(each for each in found if _kind(each) == _kind(best))
    return []


def _together(files: Sequence[Path]) -> Masks | None:
    masks = tuple(map(as_mask, files))
    return Together(masks) if len(masks) > 1 else next(iter(masks), None)


def _ending(path: Path) -> str:
    return path.name[len(stem_of(path)) :].lower()


def _kind(path: Path) -> tuple[Path, str, str]:
    """The same for numbered masks of one image."""
    named = NAMED(stem_of(path))
    return path.parent, named["word"].lower() if named else "", _ending(path)
