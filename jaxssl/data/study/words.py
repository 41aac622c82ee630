"""What the words of a series say of its view; scanners are set up in many languages, and by people in a hurry."""

import re
import unicodedata

CHAMBERS = "(?:ch(?:amber|amb|b)?s?|c|cv|ka?m+ern?(?:blick)?|kamers?|kb|cav|cavites?|cavidades|camaras|camere)"
TWO, THREE, FOUR = (
    rf"(?:(?<!\d){digit}|\b(?:{spelt})) ?{CHAMBERS}(?![a-z])"
    for digit, spelt in (
        (2, "two|zwei|deux|dos|due"),
        (3, "three|drei|trois|tres|tre"),
        (4, "four|vier|quatre|cuatro|quattro"),
    )
)
SHORT_AXIS = r"short ?ax(is|e)?|kurze?r? ?achsen?|korte as|petit axe|eje corto|asse corto|eixo curto"

VIEWS = {
    "rv2ch": rf"\b(rv|right) ?{TWO}|{TWO} ?(rv|right)\b|\brv ?(vla|la|lax|long axis|inflow)\b",
    "rvot": r"\brvot|\b(rv|right ventric\w+) outflow",
    "3ch": rf"{THREE}|\bap\w* ?(long axis|lax)\b",
    "lvot": r"\blvot|\b(lv|left ventric\w+) outflow",
    "4ch": rf"{FOUR}|\bhla\b|\bhorizontal long axis\b",
    "2ch": rf"{TWO}|\bvla\b|\bvertical long axis\b",
    "sax": rf"\b(sax?|shax)(?![a-z])|\b({SHORT_AXIS})\b",
}
"""The names of each view. A more special view comes first: what it has found, the others do not see."""

PLACES = r"\b(bas(al|e|is)|mid\w*|api\w*|apex|slices?|sl|schicht)\b"
"""Words that tell slices of one stack apart."""


def view_in(about: str) -> str:
    """The view that a description names; none where it names none, or several."""
    text, found = _plain(about), []
    for view, names in VIEWS.items():
        text, times = re.subn(names, " ", text)
        found += [view] * bool(times)
    if found == ["3ch", "lvot"]:  # one view under two names
        return "3ch"
    return found[0] if len(found) == 1 else ""


def stem(about: str) -> str:
    """A description without what tells the slices of a stack apart: numbers, and words such as "basal"."""
    words = re.sub(r"\d+", " ", _plain(about))
    return " ".join(re.sub(PLACES, " ", words).split())


def _plain(about: str) -> str:
    """Lower case, without accents, and with spaces for signs."""
    letters = unicodedata.normalize("NFKD", about.lower()).encode("ascii", "ignore").decode()
    return " ".join(re.sub(r"[^a-z0-9]+", " ", letters).split())
