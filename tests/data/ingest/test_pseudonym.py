"""Pseudonyms are the same for the same key, say nothing without it, and the key is kept from others."""

import hashlib
import hmac
import os
import stat

import pytest

from jaxssl.data.ingest.pseudonym import KEY_BYTES, Pseudonyms, site_key
from jaxssl.errors import UserError

ONE, OTHER = bytes(32), bytes(31) + b"\1"


def test_a_pseudonym_is_the_keyed_hash_of_set_and_name():
    words = [b"acdc", b"subject", b"patient001"]
    message = b"".join(len(word).to_bytes(8, "big") + word for word in words)
    expected = hmac.new(ONE, message, hashlib.sha256).hexdigest()[:16]
    assert Pseudonyms(ONE, "acdc").subject("patient001") == expected


def test_keys_sets_and_kinds_of_names_do_not_mix():
    names = Pseudonyms(ONE, "acdc")
    assert names.subject("Ada") == names.subject("Ada") == Pseudonyms(ONE, "acdc").subject("Ada")
    different = [
        names.subject("Ada"),
        Pseudonyms(OTHER, "acdc").subject("Ada"),
        Pseudonyms(ONE, "mnms").subject("Ada"),
        names.study("Ada", ""),
        names.study("", "Ada"),
        names.study("Ad", "a"),
    ]
    assert len(set(different)) == len(different)
    assert names.key_id == Pseudonyms(ONE, "mnms").key_id != Pseudonyms(OTHER, "acdc").key_id


def test_two_names_with_one_pseudonym_are_noticed(monkeypatch):
    names = Pseudonyms(ONE, "acdc")
    monkeypatch.setattr(names, "_hash", lambda words: "0" * 64)
    names.subject("Ada")
    with pytest.raises(UserError, match="Two names have the pseudonym 0000"):
        names.subject("Bob")


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    key, path, made = site_key(None, tmp_path / "store")
    assert (path, made, len(key)) == (tmp_path / "config" / "jaxssl" / "site.key", True, KEY_BYTES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert site_key(None, tmp_path / "store") == (key, path, False)
    assert site_key(tmp_path / "mine", tmp_path / "store")[0] != key
    assert sorted(os.listdir(tmp_path)) == ["config", "mine"]
    assert os.listdir(path.parent) == ["site.key"]


def test_a_key_is_refused_in_the_store_or_for_everyone_to_read(tmp_path):
    with pytest.raises(UserError, match="would lie in the store"):
        site_key(tmp_path / "store" / "deep" / "key", tmp_path / "store")
    assert not (tmp_path / "store").exists()
    _, path, _ = site_key(tmp_path / "key", tmp_path / "store")
    path.chmod(0o640)
    with pytest.raises(UserError, match="can be read by others"):
        site_key(path, tmp_path / "store")
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(UserError, match="has 5 bytes and not 32"):
        site_key(path, tmp_path / "store")
    with pytest.raises(UserError, match="cannot be used"):
        site_key(path / "below", tmp_path / "store")
