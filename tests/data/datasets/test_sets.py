"""What all sets have in common."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from scans import nifti

from jaxssl.data.datasets import names, set_of, tables
from jaxssl.data.datasets.acdc import ACDC
from jaxssl.data.ingest.loading import Hearers
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.ingest.records import records_of
from jaxssl.data.store import NAME
from jaxssl.data.subject import Subject, files_of
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


def test_every_set_stands_in_the_guide_and_nothing_else():
    """Its table is written by hand, and says of each what the set says of itself."""
    lines = (Path(__file__).parents[3] / "docs" / "guides" / "data.md").read_text().splitlines()
    start = lines.index("| set | of | what | licence |") + 2
    kinds = [set_of(name) for name in PUBLIC]
    rows = [f"| `{k.name}` | {k.modality} | {k.description.removesuffix('.')} | {k.licence} |" for k in kinds]
    assert sorted(lines[start : start + len(rows)]) == sorted(rows)
    assert lines[start + len(rows)] == ""


def test_names_that_are_not_known_are_refused():
    with pytest.raises(UserError, match="no data set 'acdk'; the nearest is 'acdc', of acdc, busi, camus"):
        set_of("acdk")
    with pytest.raises(
        UserError, match="layout of acdc is known: leave out --csv, --labels, --classes, --subject and --fan"
    ):
        set_of("acdc", subject="file")
    with pytest.raises(UserError, match="layout of acdc is known"):
        set_of("acdc", classes=("LV",))


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
    hearers = Hearers(lambda path, reason: pytest.fail(reason))
    subjects = [records_of(each, names, hearers) for each in ACDC().subjects(source)]
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
    with pytest.raises(UserError, match=r"There is no table .*gone\.csv: give its path"):
        tables.rows(tmp_path / "gone.csv")
    with pytest.raises(UserError, match="has 'n/a' where a pixel size belongs"):
        tables.number("n/a", path, "a pixel size")
    with pytest.raises(UserError, match="has 'nan' where a corner belongs"):
        tables.number("nan", path, "a corner")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("3", 3),
        ("3.0", 3),
        ("0", 0),
        ("²", None),
        ("nan", None),
        ("inf", None),
        ("-1", None),
        ("2.5", None),
        ("", None),
    ],
)
def test_whole_numbers_of_tables(text: str, wanted: int | None):
    assert tables.whole(text) == wanted
    rejects = []
    assert tables.moments({"ES": text}, 1, rejects.append) == ({} if not wanted else {wanted - 1: "ES"})
    assert rejects == ([] if wanted or not text else [f"ES is {text!r}, which is no frame: not used"])


def with_rejects(name: str, source: Path) -> tuple[list[Subject], dict[str, str]]:
    """What is listed, and what is told of each file."""
    rejects = {}
    found = list(set_of(name).subjects(source, lambda path, reason: rejects.update({path.name: reason})))
    return found, rejects


def text(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_rubbish_in_a_table_costs_no_more_than_what_it_is_about(tmp_path: Path):
    source = tmp_path / "echonet"
    text(source / "FileList.csv", "FileName,EF,Split\n0X1,50,TRAIN\n")
    text(source / "VolumeTracings.csv", "FileName,X1,Y1,X2,Y2,Frame\n0X1.avi,1,2,3,4,nan\n0X1.avi,1,2,3,4,inf\n")
    (subject,), rejects = with_rejects("echonet", source)
    assert subject.series[0].moments == {}
    assert rejects == {"VolumeTracings.csv": "0X1.avi has an outline in the frame 'inf', which is none: left out"}
    source = tmp_path / "sunnybrook"
    scout = text(source / "SCD0000101" / "CINESAX_300" / "scout.dcm")
    text(source / "scd_patientdata.csv", "PatientID,OriginalID,Pathology\nSCD0000101,SC-HF-I-1,x\n")
    (subject,), rejects = with_rejects("sunnybrook", source)
    assert (subject.series[0].files, rejects) == ((scout,), {})
    source = tmp_path / "mnms"
    text(source / "A" / "A_sa.nii.gz")
    text(source / "about.csv", "External code,ED,ES\nA,²,3\n")
    (subject,), rejects = with_rejects("mnms", source)
    assert subject.series[0].moments == {3: "ES"}
    assert rejects == {"A_sa.nii.gz": "ED is '²', which is no frame: not used"}
    source = tmp_path / "acdc"
    text(source / "patient001" / "Info.cfg", "ED: 0\nES: 12\n")
    text(source / "patient001" / "patient001_4d.nii.gz")
    (subject,), rejects = with_rejects("acdc", source)
    assert (subject.series[0].moments, rejects) == ({11: "ES"}, {"Info.cfg": "ED is '0', which is no frame: not used"})
    source = tmp_path / "hc18"
    rows = "000_HC.png,-0.1\n001_HC.png,inf\n002_HC.png,n/a\n003_HC.png,0.1\n"
    text(source / "training_set_pixel_size_and_HC.csv", f"filename,pixel size(mm)\n{rows}")
    (subject,), rejects = with_rejects("hc18", source)
    assert (subject.name, subject.series[0].spacing) == ("training_set 003", (0.1, 0.1))
    assert rejects == {
        f"00{n}_HC.png": f"its pixel size is {size!r}, which is no size in mm"
        for n, size in enumerate(("-0.1", "inf", "n/a"))
    }


@pytest.mark.parametrize(
    ("name", "table", "rows"),
    [
        ("pocus", "frames.csv", "file,clip,frame,label,probe,licence\n{},c,1,l,p,x\nin.png,d,1,l,p,x\n"),
        ("busi", "busi.csv", "file,mask,label\n{},,benign\nin.png,,benign\nalso.png,{},benign\n"),
        ("echonet", "FileList.csv", "FileName,EF,Split\n{},50,TRAIN\nin,50,TRAIN\n"),
        ("fetal_planes", "FETAL_PLANES_DB_data.csv", "Image_name,Patient_num,Plane,Brain_plane\n{},1,,\nin,2,,\n"),
        ("hc18", "hc18.csv", "file,subject,pixel_mm_in_this_copy\n{},1,0.1\nin.png,2,0.1\n"),
        ("acdc", "subjects.csv", "subject,group\n{},NOR\nin,NOR\n"),
    ],
)
@pytest.mark.parametrize("absolute", [True, False])
def test_a_table_leads_nowhere_outside_of_the_source(name: str, table: str, rows: str, absolute: bool, tmp_path: Path):
    source, secret = tmp_path / "source", text(tmp_path / "secret.png")
    text(source / "VolumeTracings.csv", "FileName,X1,Y1,X2,Y2,Frame\n")
    text(source / table, rows.replace("{}", str(secret) if absolute else "../../secret.png"))
    found, rejects = with_rejects(name, source)
    assert len(found) == 1
    assert all(path.is_relative_to(source) and ".." not in path.parts for path in files_of(found[0].series))
    assert set(rejects.values()) == {"it lies outside the source"}


@pytest.mark.parametrize(
    ("name", "listed", "others"),
    [
        ("acdc", "a/Info.cfg a/a_4d.nii.gz a/a_frame01.nii.gz a/a_frame01_gt.nii.gz", "b/b_4d.nii.gz"),
        ("camus", "a/Info_2CH.cfg a/a_2CH_half_sequence.nii.gz a/a_2CH_ED_gt.nii.gz", "b/b_2CH_ED.nii.gz"),
        ("echonet", "FileList.csv VolumeTracings.csv Videos/0X1.avi", "Videos/0X2.avi"),
        ("fetal_planes", "FETAL_PLANES_DB_data.csv Images/one.png", "Images/two.png"),
        ("kaggle_dsb", "train/1/study/sax_5/a.dcm train/1/study/notes.txt", "train/1/study/SAX-6/a.dcm"),
        ("pocus", "dataset_metadata.csv pocus_videos/convex/Cov-a.mp4", "pocus_videos/convex/Clip-2.png"),
        ("sunnybrook", "scd_patientdata.csv S/CINESAX_1/a.dcm S/SCOUT_2/a.dcm", "S/CINELAX_2/a.nii"),
    ],
)
def test_images_that_nobody_lists_are_told(name: str, listed: str, others: str, tmp_path: Path):
    contents = {
        "a/Info.cfg": "ED: 1",
        "FileList.csv": "FileName,Split\n0X1,VAL",
        "VolumeTracings.csv": "FileName,X1,Y1,X2,Y2,Frame",
        "FETAL_PLANES_DB_data.csv": "Image_name,Patient_num,Plane,Brain_plane\none,1,Other,",
        "dataset_metadata.csv": "Filename\nClip-2",
        "scd_patientdata.csv": "PatientID,OriginalID",
    }
    for file in listed.split():
        text(tmp_path / file, contents.get(file, "x"))
    assert with_rejects(name, tmp_path)[1] == {}
    text(tmp_path / others)
    (subject,), rejects = with_rejects(name, tmp_path)
    assert rejects == {Path(others).name: "neither a table nor the layout of the set tells whose it is"}
    assert tmp_path / others not in files_of(subject.series)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("acdc", "{}/patient001/Info.cfg {}/patient001/patient001_4d.nii.gz"),
        ("camus", "{}/patient001/Info_2CH.cfg {}/patient001/patient001_2CH_half_sequence.nii.gz"),
        ("mnms", "{}/A/A_sa.nii.gz about.csv"),
        ("mnms2", "{}/001/001_SA_CINE.nii.gz"),
    ],
)
def test_the_same_person_in_two_trees_is_always_listed_in_one_order(name, files, tmp_path: Path, monkeypatch):
    for file in [file for tree in ("b", "a") for file in files.replace("{}", tree).split()]:
        text(tmp_path / file, "External code,ED,ES\nA,1,2\n" if file == "about.csv" else "ED: 1\n")
    orders, glob = [], Path.rglob
    for backwards in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rglob", lambda *a, back=backwards: sorted(glob(*a), reverse=back))
            found = with_rejects(name, tmp_path)[0]
        orders.append([subject.series[0].files[0].parts[-3] for subject in found])
    assert orders == [["a", "b"]] * 2


def test_a_patient_of_whom_neither_ed_nor_es_is_known_is_told(tmp_path: Path):
    for name, about in (("patient001", "ED: 1\nES: 2\n"), ("patient002", "ED: ?\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Info.cfg").write_text(about)
    rejects = []
    subjects = set_of("acdc").subjects(tmp_path, lambda path, reason: rejects.append((path.parent.name, reason)))
    assert [subject.name for subject in subjects] == ["patient001"]
    assert rejects == [
        ("patient002", "ED is '?', which is no frame: not used"),
        ("patient002", "it names neither ED nor ES: the patient is left out"),
    ]
