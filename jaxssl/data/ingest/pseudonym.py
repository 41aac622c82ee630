"""Names of people, studies and files as keyed hashes: without the site's key nobody can tell whose they are."""

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from jaxssl.errors import UserError

KEY_BYTES = 32
DIGITS = 16
"""Hexadecimal digits of a pseudonym. Of n names two have the same with a probability of n^2 / 2^65: of 100 000 names
3e-10. Should it happen it is noticed, and refused."""
KEY_ID = b"jaxssl: which key is this?"


class Pseudonyms:
    """Pseudonyms of one set of data by one key: the same name gets the same one, whatever store it goes to.

    They differ from set to set, where "patient001" is another person.
    """

    def __init__(self, key: bytes, realm: str):
        self._key, self._realm = key, realm
        self._names: dict[str, tuple[str, ...]] = {}

    @property
    def key_id(self) -> str:
        """Tells keys apart, and nothing else of them."""
        return hmac.digest(self._key, KEY_ID, "sha256").hex()[:DIGITS]

    def subject(self, name: str) -> str:
        """The pseudonym of a person."""
        return self._of("subject", name)

    def study(self, subject: str, name: str) -> str:
        """The pseudonym of a study of a person."""
        return self._of("study", subject, name)

    def digest(self, *words: str) -> str:
        """Names what `words` say of files, whose names may be those of people."""
        return self._hash(("files", *words))[: 2 * DIGITS]

    def _of(self, *words: str) -> str:
        pseudonym = self._hash(words)[:DIGITS]
        if self._names.setdefault(pseudonym, words) != words:
            raise UserError(
                f"Two names have the pseudonym {pseudonym} by this key: ingest one of them as another set, or by "
                "another --key."
            )
        return pseudonym

    def _hash(self, words: tuple[str, ...]) -> str:
        # A length before each word, so that no two lists of words are the same message.
        parts = [word.encode("utf-8", "surrogateescape") for word in (self._realm, *words)]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._key, message, hashlib.sha256).hex()


def site_key(path: str | Path | None, store: Path) -> tuple[bytes, Path, bool]:
    """The key of this site, where it lies, and whether it was made just now, since there was none.

    Without a path it is that of the user's configuration. It may not lie in `store`, nor may others read it.
    """
    path = _usual() if path is None else Path(path)
    if path.resolve().is_relative_to(store.resolve()):
        raise UserError(f"The key {path} would lie in the store that it protects: give --key a place outside {store}.")
    try:
        made = _make(path)
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UserError(f"The key {path} can be read by others: chmod 600 it, or give another by --key.")
        key = path.read_bytes()
    except OSError as error:
        raise UserError(f"The key {path} cannot be used ({error.strerror}): give another by --key.") from error
    if len(key) != KEY_BYTES:
        raise UserError(
            f"The key {path} has {len(key)} bytes and not {KEY_BYTES}: give the site's key by --key, or the name of a "
            "file that is not there to have one made."
        )
    return key, path, made


def _usual() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "jaxssl" / "site.key"


def _make(path: Path) -> bool:
    """Make a key unless there is one; of several processes that do so at once one wins."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(unfinished, path)
    except FileExistsError:
        return False
    finally:
        unfinished.unlink()
    return True
