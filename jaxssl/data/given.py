"""A split that somebody else has made: a table of subjects, by the names that the source has for them."""

from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.splits import Split
from jaxssl.data.store import Store
from jaxssl.errors import UserError

PARTS = {
    "train": ("train", "training", "tr"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "te"),
}
"""What people call the parts."""


def given_split(table: Path, store: Store, key: bytes | None) -> Split:
    """Who is in which part by a csv with the columns subject and split.

    Where the store has pseudonyms, `key` is what they were made with. Subjects of the table whom the store has not are
    passed over, as are those of the store whom the table does not name; a table that names nobody is refused.
    """
    names = _names(store, key)
    parts: dict[str, set[str]] = {part: set() for part in PARTS}
    for row in tables.rows(table, "subject", "split"):
        said = row["split"].lower()
        part = next((part for part, words in PARTS.items() if said in words), None)
        if part is None:
            raise UserError(f"{table} has {row['split']!r} where train, validation or test belongs: mend the table.")
        parts[part].add(names(row["subject"]))
    known = {record.subject for record in store.records()}
    found = Split(*(tuple(sorted(parts[part] & known)) for part in PARTS))
    if not (found.train or found.test):
        raise UserError(f"{table} names no subject of {store.path}: give the table of this set, by the source's names.")
    return found


def _names(store: Store, key: bytes | None):
    """From a name of the source to that of the store."""
    if not store.info.key_id:
        return str
    if key is None:
        raise UserError(f"{store.path} has pseudonyms: give --key, the key that it was ingested with.")
    pseudonyms = Pseudonyms(key, store.info.name)
    if pseudonyms.key_id != store.info.key_id:
        raise UserError(f"{store.path} was ingested with another key: give --key the one of id {store.info.key_id}.")
    return pseudonyms.subject
