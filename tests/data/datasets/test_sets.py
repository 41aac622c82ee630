"""What all sets have in common."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from scans import nifti

from jaxssl.data.datasets import names, set_of, tables
from jaxssl.data.datasets.acdc import ACDC
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.ingest.records import records_of
from jaxssl.data.store import NAME
from jaxssl.errors import UserError

PUBLIC = [name for name in names() if name != "folder"]


def test_every_set_is_known_by_its_module():
    assert {"acdc", "mnms", "mnms2", "kaggle_dsb", "sunnybrook", "mrnet", "oai", "folder"} <= set(names())
    assert {"fetal_planes", "hc18", "camus", "echonet", "busi", "pocus"} <= set(names())
    for name in names():
        assert NAME.fullmatch(name)
        assert type(set_of(name)).__module__ == f"jaxssl.data.datasets.{name}"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_set_says_what_it_is(name: str, tmp_path: Path):
    kind = set_of(name)
    assert kind.description.endswith(".")
    assert len(kind.description) < 120
    assert kind.licence
    assert kind.citation
    assert not kind.classes or kind.classes[0] == "background"
    with pytest.raises(UserError, match="is no folder: name the one that holds"):
        list(kind.subjects(tmp_path / "gone"))
    (tmp_path / "else.txt").write_text("something else")
    with pytest.raises(UserError, match=f"Nothing of {name} is in"):
        list(kind.subjects(tmp_path))


def test_names_that_are_not_known_are_refused():
    with pytest.raises(UserError, match="no data set 'acdk': name one of acdc, busi, camus"):
        set_of("acdk")
    with pytest.raises(UserError, match="layout of acdc is known: leave out --csv and --subject"):
        set_of("acdc", subject="file")


def test_a_set_goes_the_way_of_a_builder(tmp_path: Path):
    """`download_and_prepare` and `as_data_source` give what is made of each subject, by the order of pseudonyms."""
    source = tmp_path / "source"
    (source / "subjects").mkdir(parents=True)
    (source / "subjects.csv").write_text("subject,group\npatient001,NOR\npatient002,DCM\n")
    for place, name in enumerate(("patient001", "patient002")):
        for moment in ("ED", "ES"):
            array = np.random.default_rng([place, len(moment)]).integers(0, 200, (5, 6, 2)).astype(np.uint8)
            nifti(source / "subjects" / f"{name}_{moment}.nii.gz", array + place + (moment == "ES"))
            nifti(source / "subjects" / f"{name}_{moment}_gt.nii.gz", array % 4)
    key = tmp_path / "key"
    builder = ACDC(source=source, data_dir=tmp_path / "sets")
    builder.download_and_prepare(key_file=key, workers=1)
    assert builder.path == tmp_path / "sets" / "acdc" / "1.0.0"
    names = Pseudonyms(key.read_bytes(), "acdc")
    subjects = [records_of(each, names, lambda path, reason: pytest.fail(reason)) for each in ACDC().subjects(source)]
    records = [record for own in sorted(subjects, key=lambda own: own[0].subject) for record in own]
    examples = builder.as_data_source("records")
    assert len(examples) == len(records) == 8
    found = tfds.data_source("acdc", data_dir=tmp_path / "sets", split="records")
    np.testing.assert_array_equal(found[5]["image"], records[5].image)
    for example, record in zip(examples, records, strict=True):
        np.testing.assert_array_equal(example["image"], record.image)
        np.testing.assert_array_equal(example["mask"], record.mask)
        assert json.loads(example["labels"]) == record.labels
        assert (example["subject"].decode(), example["moment"].decode()) == (record.subject, record.moment)


def test_a_builder_without_places_says_what_to_give(tmp_path: Path):
    with pytest.raises(UserError, match=r"acdc is never downloaded: give the folder .* as `source`"):
        ACDC(data_dir=tmp_path).download_and_prepare()
    with pytest.raises(UserError, match="give a `data_dir`"):
        ACDC(source=tmp_path).as_data_source()
    with pytest.raises(UserError, match="is not a folder"):
        ACDC(data_dir=tmp_path).as_data_source()


def test_tables_are_read_however_a_spreadsheet_wrote_them(tmp_path: Path):
    path = tmp_path / "a.csv"
    wanted = [{"file": "a, b", "size (mm)": "0.5", "": ""}, {"file": "c", "size (mm)": "", "": ""}]
    path.write_bytes(b'\xef\xbb\xbffile ;size (mm); \r\n"a, b"; 0.5;\r\n;;\r\nc\r\n')
    assert tables.rows(path, "file") == wanted
    with pytest.raises(UserError, match=r"no column 'subject'; it has file, size \(mm\), : is it the file of this set"):
        tables.rows(path, "file", "subject")
    path.write_text("ED: 1\nGroup:  DCM \nnothing\n")
    assert tables.settings(path) == {"ED": "1", "Group": "DCM"}
    path.write_text("")
    assert tables.rows(path) == []
    with pytest.raises(UserError, match="it has none: is it the file of this set"):
        tables.rows(path, "file")
    with pytest.raises(UserError, match=r"gone\.csv cannot be read \(No such file or directory\)"):
        tables.rows(tmp_path / "gone.csv")
    with pytest.raises(UserError, match="has 'n/a' where a pixel size belongs"):
        tables.number("n/a", path, "a pixel size")


def test_a_patient_of_whom_neither_ed_nor_es_is_known_is_told(tmp_path: Path):
    for name, about in (("patient001", "ED: 1\nES: 2\n"), ("patient002", "ED: ?\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Info.cfg").write_text(about)
    rejects = []
    subjects = set_of("acdc").subjects(tmp_path, lambda path, reason: rejects.append((path.parent.name, reason)))
    assert [subject.name for subject in subjects] == ["patient001"]
    assert rejects == [("patient002", "it names neither ED nor ES: the patient is left out")]
