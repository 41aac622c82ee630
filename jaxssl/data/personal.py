"""Words that tell who somebody is, or when they were examined."""

import re
from collections.abc import Iterator

_MONTH = r"(?:0?[1-9]|1[0-2])"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:19|20)\d\d"
_CALLED = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
DATE = "a date"
_PATTERNS = {
    DATE: rf"(?<!\d)(?:{_YEAR}([-./ _]){_MONTH}\1{_DAY}|{_DAY}([-./ _]){_MONTH}\2{_YEAR}"
    rf"|{_MONTH}([-./_]){_DAY}\3{_YEAR}|{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    rf"|(?:{_DAY}/{_MONTH}|{_MONTH}/{_DAY})/\d\d|{_DAY}[-. _]*{_CALLED}[-., _]*{_YEAR})(?!\d)"
    rf"|(?<![a-z]){_CALLED}[-. _]*{_DAY}(?:st|nd|rd|th)?[-., _]+{_YEAR}(?!\d)",
    "a UID": r"(?<![\d.])\d+(?:\.\d+){4,}",
    "a DICOM tag": r"\([0-9a-f]{4}, ?[0-9a-f]{4}\)|patient'?s? ?(?:name|id\b|birth)|instance ?uid|accession ?number"
    r"|(?:referring|performing) ?physician|institution ?name",
    "a name": r"\w\^\w",
    "an e-mail address": r"[\w.+-]+@[\w-]+\.\w",
    "a path": r"(?<!\w)[a-z]:\\|\\\\\w|(?<![\w/.])(?:~|\.\.?)?/[\w .-]+/[\w.-]"
    r"|\.(?:dcm|ima|nii|mha|png|jpe?g|avi|mp4)\b",
}
_TELLING = {what: re.compile(pattern, re.IGNORECASE) for what, pattern in _PATTERNS.items()}
LONG = re.compile(r"(?<![\w.])\d{6,}(?![\w.])")
"""Numbers such as hospitals give to people and examinations."""
_INITIALLED = re.compile(r"(?<![0-9a-z])[a-z]{1,4}[-_ ]?\d{6,}(?![\w.])", re.IGNORECASE)
"""The same with some letters before them."""
_PUBLIC = re.compile(r"https?://\S+|\b10\.\d{4,}/\S+|(?<![0-9a-z])[0-9a-f]{16,}(?![0-9a-z])", re.IGNORECASE)
"""Addresses, DOIs and hashes, whose digits may look like anything."""


def told(text: str) -> Iterator[str]:
    """What a text has that it should not."""
    left = _without_public(text)
    return (what for what, pattern in _TELLING.items() if pattern.search(left))


def is_personal(value: str) -> bool:
    """Whether a value is no label, since it may say who somebody is or when they were examined."""
    numbers = (LONG.search(value), _INITIALLED.search(_without_public(value)))
    return any(told(value)) or any(numbers)


def _without_public(text: str) -> str:
    return _PUBLIC.sub(" ", text)
