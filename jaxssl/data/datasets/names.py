"""What the names of files and folders tell: views, moments, and whose an image is."""

import re
from pathlib import Path

from jaxssl.data.study.words import view_in

MASK_WORDS = "gt|labels?|seg|segmentations?|masks?|annotations?|ground[-_ ]?truth"
STRUCTURAL = re.compile(
    rf"(images?|imgs?|{MASK_WORDS}|data|training|train|testing|test|validation|valid|val)(T[rs])?", re.I
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


def vendor_of(manufacturer: str) -> str:
    """The vendor of a scanner; the field is free text in which hospitals have been seen, so that it is never copied."""
    words = re.findall(r"[a-z]+", manufacturer.lower())
    said = f" {' '.join(words)} "
    return next((vendor for vendor in VENDORS if f" {vendor} " in said), "other")
