"""A split that comes with a set is taken over under the names that the store has."""

import dataclasses

import pytest
import samples

from jaxssl.cli import main
from jaxssl.data.ingest.pseudonym import KEY_BYTES, Pseudonyms
from jaxssl.data.splitfile import read_split
from jaxssl.data.store import write

KEY = bytes(range(KEY_BYTES))
PEOPLE = [f"patient{number:03d}" for number in range(6)]
TABLE = "subject,split\npatient000,train\npatient004,Training\npatient002,val\npatient005,test\nnobody,test\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A store with pseudonyms of six people, its key, and a table that knows four of them."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "key").write_bytes(KEY)
    (folder / "key").chmod(0o600)
    (folder / "table.csv").write_text(TABLE)
    names = Pseudonyms(KEY, "small")
    base = list(samples.records(subjects=1, slices=1, phases=2))
    records = [
        dataclasses.replace(record, subject=names.subject(who), study=names.study(who, ""))
        for who in PEOPLE
        for record in base
    ]
    write(records, folder / "store", name="small", description="Random.", licence="none", key_id=names.key_id)
    return folder


def split(site, out, *words):
    given = ["--csv", str(site / "table.csv"), "--sizes", "1"]
    return main(["data", "split", str(site / "store"), "--out", str(out), *given, *words])


def test_everyone_is_where_the_table_says(site, tmp_path):
    assert split(site, tmp_path / "out", "--key", str(site / "key")) == 0
    names = Pseudonyms(KEY, "small")
    parts = read_split(tmp_path / "out" / "split.json").parts
    for part, people in (("train", (0, 4)), ("validation", (2,)), ("test", (5,))):
        assert set(getattr(parts, part)) == {names.subject(PEOPLE[place]) for place in people}
    (subset,) = read_split(tmp_path / "out" / "subset-1-seed0.json").parts.train
    assert subset in parts.train


@pytest.mark.parametrize(
    ("words", "table", "sentence"),
    [
        (["--seed", "3"], TABLE, "--csv says who is in which part"),
        ([], TABLE.replace("val", "somewhere"), "has 'somewhere' where train, validation or test belongs"),
        ([], "subject,split\nnobody,test\n", "names no subject of"),
        ([], TABLE + "patient000,test\n", "is in train and in test: put it in one"),
        ([], "who,split\npatient000,test\n", "has no column 'subject'"),
    ],
)
def test_what_cannot_be_meant_is_refused(site, tmp_path, capsys, words, table, sentence):
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "table.csv").write_text(table)
    given = ["--csv", str(tmp_path / "table.csv"), "--key", str(tmp_path / "key"), *words]
    assert main(["data", "split", str(site / "store"), "--out", str(tmp_path / "out"), *given]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_key_is_refused(site, tmp_path, capsys):
    (tmp_path / "key").write_bytes(KEY[::-1])
    (tmp_path / "key").chmod(0o600)
    assert split(site, tmp_path / "out", "--key", str(tmp_path / "key")) == 2
    assert "was ingested with another key" in capsys.readouterr().err
