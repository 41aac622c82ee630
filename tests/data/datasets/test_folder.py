"""Any folder: whose its images are, what belongs together, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from scans import dicom, nifti

from jaxssl.data.datasets import set_of
from jaxssl.data.datasets.folder import Folder
from jaxssl.data.subject import Subject
from jaxssl.errors import UserError

RNG = np.random.default_rng(0)


def volume(path: Path, *axes: int, codes: bool = False) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = RNG.integers(0, 4 if codes else 900, (5, 4, *axes)).astype(np.uint8 if codes else np.int16)
    nifti(path, array)
    return array


def picture(path: Path) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (4, 5)).astype(np.uint8)
    Picture.fromarray(pixels).save(path)
    return pixels


def with_rejects(kind: Folder, source: Path) -> tuple[list[Subject], dict[str, str]]:
    rejects = {}
    subjects = list(kind.subjects(source, lambda path, reason: rejects.update({path.name: reason})))
    return subjects, rejects


def names_of(subject: Subject) -> list[list[str]]:
    return [[path.name for path in series.files] for series in subject.series]


@pytest.mark.parametrize(
    ("files", "owners"),
    [
        (["p001_ED", "p001_ES", "p002_ED", "p002_ES"], {"p001": 1, "p002": 1}),
        (["patient_001_sax", "patient_001_4ch", "patient_002_sax"], {"patient_001": 2, "patient_002": 1}),
        (["sub-01/ses-1/anat/sub-01_ses-1_T1w", "sub-01/ses-2/anat/sub-01_ses-2_T1w"], {"sub-01": 2}),
        (["train/p1_cine", "test/p2_cine"], {"p1": 1, "p2": 1}),
        (["imagesTr/case_0001_0000", "imagesTr/case_0002_0000"], {"case_0001": 1, "case_0002": 1}),
        (["smith/scan", "jones/scan"], {"jones": 1, "smith": 1}),
        (["smith", "jones"], {"jones": 1, "smith": 1}),
        (["007/sax", "007/lax_2ch", "008/sax"], {"007": 2, "008": 1}),
        (["sax", "lax_2ch"], {"mine": 2}),
    ],
)
def test_whose_volumes_are_is_told_by_folders_and_names(files, owners, tmp_path: Path, listed: Callable):
    for file in files:
        volume(tmp_path / "mine" / f"{file}.nii.gz", 2)
    found = listed(set_of("folder"), tmp_path / "mine")
    assert {name: len(subject.series) for name, subject in found.items()} == owners


def test_volumes_that_may_be_of_several_people_have_to_be_told(tmp_path: Path, listed: Callable):
    for file in ("batch2/p001_sax", "batch2/p002_sax"):
        volume(tmp_path / f"{file}.nii", 2)
    with pytest.raises(UserError, match=r"batch2 are cannot be told, p001 and p002 may be two people: say --subject"):
        list(set_of("folder").subjects(tmp_path))
    assert list(listed(set_of("folder", subject="folder"), tmp_path)) == ["batch2"]
    assert list(listed(set_of("folder", subject="file"), tmp_path)) == ["p001", "p002"]


def test_masks_beside_volumes_and_frames_of_ed_and_es(tmp_path: Path, made: Callable):
    truth = {}
    for moment in ("ES", "ED"):
        truth[moment] = volume(tmp_path / f"p7_sax_{moment}.nii.gz", 2)
        truth[moment, "mask"] = volume(tmp_path / f"p7_sax_{moment}_gt.nii.gz", 2, codes=True)
    volume(tmp_path / "p7_4ch.nii.gz", 1)
    (records,) = made(set_of("folder"), tmp_path).values()
    assert sorted((r.view, r.phase, r.moment, r.mask is not None) for r in records) == [
        ("4ch", 0, "", False),
        *[("sax", phase, moment, True) for phase, moment in enumerate(("ED", "ES")) for _ in range(2)],
    ]
    for record in records:
        if record.moment:
            (place,) = [z for z in range(2) if np.array_equal(record.image[..., 0], truth[record.moment][..., z].T)]
            np.testing.assert_array_equal(record.mask, truth[record.moment, "mask"][..., place].T)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("imagesTr/case_01_0000.nii.gz", "labelsTr/case_01.nii.gz"),
        ("images/p1.nii.gz", "labels/p1.nii.gz"),
        ("p1/cine.nii.gz", "p1/labels/cine.nii.gz"),
        ("p1/cine.nii.gz", "p1/cine_seg.nii"),
        ("p1/cine.nii", "p1/cine_label.nii.gz"),
    ],
)
def test_places_in_which_masks_lie(image: str, mask: str, tmp_path: Path, listed: Callable):
    volume(tmp_path / image, 3)
    drawn = volume(tmp_path / mask, 3, codes=True)
    (subject,) = listed(set_of("folder"), tmp_path).values()
    (series,) = subject.series
    np.testing.assert_array_equal(series.masks(0, 2, 0, (4, 5)), drawn[..., 2].T)


def test_a_mask_without_an_image_and_what_is_no_image_are_told(tmp_path: Path):
    volume(tmp_path / "p1.nii.gz", 2)
    volume(tmp_path / "p2_gt.nii.gz", 2)
    (tmp_path / "notes.txt").write_text("hello")
    subjects, rejects = with_rejects(set_of("folder"), tmp_path)
    assert [subject.name for subject in subjects] == ["p1"]
    assert rejects == {
        "p2_gt.nii.gz": "by its name it is the mask of an image, which is not there",
        "notes.txt": "it is no image",
    }


def test_dicom_is_sorted_by_its_headers(tmp_path: Path, listed: Callable):
    pixels = RNG.integers(0, 900, (2, 3)).astype(np.uint16)
    for place, (patient, study, series, number) in enumerate(
        [("A", "1.1", "1.1.1", 2), ("A", "1.1", "1.1.1", 1), ("A", "1.2", "1.2.1", 1), ("B", "1.3", "1.3.1", 1)]
    ):
        dicom(
            tmp_path / f"IM{place}",
            pixels,
            PatientID=patient,
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            InstanceNumber=number,
            Manufacturer="ACME" if patient == "A" else "",
        )
    (tmp_path / "anon").mkdir()
    dicom(tmp_path / "anon" / "x.dcm", pixels, StudyInstanceUID="1.4", SeriesInstanceUID="1.4.1")
    (tmp_path / "anon" / "broken.dcm").write_bytes(b"0" * 9)
    found = listed(set_of("folder"), tmp_path)
    assert list(found) == ["A", "B", "anon"]
    assert names_of(found["A"]) == [["IM1", "IM0"], ["IM2"]]
    assert [s.study for s in found["A"].series] == ["1.1", "1.2"]
    assert found["A"].series[0].labels == {"vendor": "ACME"}
    assert names_of(found["B"]) == [["IM3"]]
    assert names_of(found["anon"]) == [["broken.dcm"], ["x.dcm"]]  # reading the one says why it cannot be used


def test_whose_pictures_are_has_to_be_told(tmp_path: Path, made: Callable):
    images = {name: picture(tmp_path / f"{name}.png") for name in ("benign/a", "benign/b", "malignant/a")}
    picture(tmp_path / "benign" / "b_mask.png")
    with pytest.raises(UserError, match=r"cannot be told \(folders: benign, malignant\): add a csv .* --subject file"):
        list(set_of("folder").subjects(tmp_path))
    found = made(set_of("folder", subject="file"), tmp_path)
    assert {name: records[0].labels for name, records in found.items()} == {
        "benign/a.png": {"class": "benign"},
        "benign/b.png": {"class": "benign"},
        "malignant/a.png": {"class": "malignant"},
    }
    for name, pixels in images.items():
        (record,) = found[f"{name}.png"]
        np.testing.assert_array_equal(record.image[..., 0], pixels)
        assert (record.mask is not None) == (name == "benign/b")
    found = made(set_of("folder", subject="folder"), tmp_path)
    assert {name: (len(records), records[0].labels) for name, records in found.items()} == {
        "benign": (2, {}),
        "malignant": (1, {}),
    }


def test_pictures_beside_scans_do_not_hold_them_up(tmp_path: Path):
    volume(tmp_path / "p1" / "sax.nii.gz", 2)
    picture(tmp_path / "p1" / "logo.png")
    subjects, rejects = with_rejects(set_of("folder"), tmp_path)
    assert [names_of(subject) for subject in subjects] == [[["sax.nii.gz"]]]
    assert rejects == {"logo.png": "whose it is cannot be told: say --subject folder or --subject file"}
    subjects, rejects = with_rejects(set_of("folder", subject="folder"), tmp_path)
    assert [names_of(subject) for subject in subjects] == [[["sax.nii.gz"], ["logo.png"]]]
    assert not rejects


def table(source: Path, *rows: str, name: str = "list.csv") -> Path:
    (source / name).write_text("\n".join(rows) + "\n")
    return source / name


def test_a_csv_says_what_is_known_of_images(tmp_path: Path, made: Callable):
    images = {name: picture(tmp_path / f"{name}.png") for name in ("a", "b", "c")}
    codes = RNG.integers(0, 3, (4, 5)).astype(np.uint8)
    Picture.fromarray(codes).save(tmp_path / "b_drawn.png")
    table(
        tmp_path,
        "File,Patient,View,moment,mask,Pixel_Size,group,machine",
        "a.png,ann,4ch,,,0.5,sick,one",
        "b.png,bob,2ch,ed,b_drawn.png,0.5 0.25,,two",
        "c.png,ann,,,,,sick,",
    )
    found = made(set_of("folder"), tmp_path)
    assert list(found) == ["ann", "bob"]
    (bob,) = found["bob"]
    np.testing.assert_array_equal(bob.image[..., 0], images["b"])
    np.testing.assert_array_equal(bob.mask, codes)
    np.testing.assert_array_equal(bob.plane.spacing, (0.5, 0.25))
    assert (bob.view, bob.moment, bob.labels) == ("2ch", "ED", {"machine": "two"})
    first, second = sorted(found["ann"], key=lambda record: record.view)
    np.testing.assert_array_equal(first.plane.spacing, (0.5, 0.5))
    assert (first.view, first.labels) == ("4ch", {"group": "sick", "machine": "one"})
    assert (second.view, second.labels) == ("other", {"group": "sick"})
    assert np.isnan(second.plane.spacing).all()
    np.testing.assert_array_equal(second.image[..., 0], images["c"])


def test_rows_of_a_csv_that_are_refused(tmp_path: Path):
    source = tmp_path / "in"
    for path in (tmp_path / "secret.png", source / "a.png", source / "b.png", source / "c.png", source / "d.png"):
        picture(path)
    (source / "link.png").symlink_to(tmp_path / "secret.png")
    (source / "round.png").symlink_to("round.png")
    (source / "sub").mkdir()
    csv = table(
        source,
        "file,subject,moment,spacing,mask",
        "a.png,p,,,",
        "./a.png,q,,,",
        "../secret.png,p,,,",
        "link.png,p,,,",
        "round.png,p,,,",
        f"{tmp_path / 'secret.png'},p,,,",
        "gone.png,p,,,",
        "sub,p,,,",
        "b.png,p,systole,,",
        "c.png,p,,-1,",
        "d.png,p,,,../secret.png",
        ",p,,,",
        "e.png,,,,",
    )
    reasons = []
    kind = set_of("folder")
    (subject,) = kind.subjects(source, lambda path, reason: reasons.append((path.name, reason)))
    assert (subject.name, names_of(subject)) == ("p", [["a.png"]])
    assert reasons == [
        ("a.png", "row 3 of list.csv names it again"),
        ("secret.png", "row 4 of list.csv names secret.png, which lies outside the source"),
        ("link.png", "row 5 of list.csv names link.png, which lies outside the source"),
        ("round.png", "row 6 of list.csv names round.png, which is not there"),
        ("secret.png", "row 7 of list.csv names secret.png, which lies outside the source"),
        ("gone.png", "row 8 of list.csv names gone.png, which is not there"),
        ("sub", "row 9 of list.csv names sub, which is no file"),
        ("b.png", "row 10 of list.csv has the moment 'SYSTOLE', which is neither ED nor ES"),
        ("c.png", "row 11 of list.csv has the spacing '-1', which is no size in mm"),
        ("d.png", "row 12 of list.csv names secret.png, which lies outside the source"),
        (csv.name, "row 13 of list.csv names no file, or no subject"),
        ("e.png", "row 14 of list.csv names no file, or no subject"),
    ]


def test_columns_that_could_say_who_somebody_is_are_no_labels(tmp_path: Path):
    for number in range(12):
        picture(tmp_path / f"{number}.png")
    table(
        tmp_path,
        "file,subject,patient_name,birth_date,MRN,token,group",
        *[f"{n}.png,s{n},Ada,1901,77,t{n},{'ab'[n % 2]}" for n in range(12)],
    )
    subjects, rejects = with_rejects(set_of("folder"), tmp_path)
    assert {tuple(series.labels) for subject in subjects for series in subject.series} == {("group",)}
    reason = "its columns patient_name, birth_date, MRN, token may say who somebody is: left out, the images kept"
    assert rejects == {"list.csv": reason}


def test_which_csv_lists_the_images(tmp_path: Path, listed: Callable):
    """One without a column for files is none, and volumes go without; of several the user names one."""
    volume(tmp_path / "p1.nii.gz", 2)
    table(tmp_path, "name,age", "ada,4", name="people.csv")
    subjects, rejects = with_rejects(set_of("folder"), tmp_path)
    assert ([subject.name for subject in subjects], list(rejects)) == (["p1"], ["people.csv"])
    one = table(tmp_path, "file,subject", "p1.nii.gz,one", name="one.csv")
    assert list(listed(set_of("folder"), tmp_path)) == ["one"]
    table(tmp_path, "path,subject", "p1.nii.gz,two", name="two.csv")
    with pytest.raises(UserError, match=r"several tables that list files, one\.csv, two\.csv: name one by --csv"):
        list(set_of("folder").subjects(tmp_path))
    assert list(listed(set_of("folder", table=one), tmp_path)) == ["one"]
    with pytest.raises(UserError, match=r"people\.csv has no column 'file', but name, age: add it"):
        list(set_of("folder", table=tmp_path / "people.csv").subjects(tmp_path))


def test_a_folder_without_images_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="Nothing of folder is in"):
        list(set_of("folder").subjects(tmp_path))
