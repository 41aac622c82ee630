"""Any folder: whose its images are, what belongs together, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from folders import names_of, picture, volume, with_rejects
from PIL import Image as Picture
from scans import dicom

from jaxssl.data.datasets import set_of
from jaxssl.errors import UserError

RNG = np.random.default_rng(0)


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
        ("p1/cine.nii.gz", "p1/cine-mask.nii.gz"),
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
            SOPInstanceUID=f"1.9.{place}",
            Manufacturer="GE MEDICAL SYSTEMS" if patient == "A" else "St. Zebra Hospital",
        )
    (tmp_path / "anon").mkdir()
    dicom(tmp_path / "anon" / "x.dcm", pixels, StudyInstanceUID="1.4", SeriesInstanceUID="1.4.1")
    (tmp_path / "anon" / "broken.dcm").write_bytes(b"0" * 9)
    found = listed(set_of("folder"), tmp_path)
    assert list(found) == ["A", "B", "anon"]
    assert names_of(found["A"]) == [["IM1", "IM0"], ["IM2"]]
    assert [s.study for s in found["A"].series] == ["1.1", "1.2"]
    assert found["A"].series[0].labels == {"vendor": "ge"}
    assert found["B"].series[0].labels == {"vendor": "other"}
    assert names_of(found["B"]) == [["IM3"]]
    assert names_of(found["anon"]) == [["broken.dcm"], ["x.dcm"]]  # reading the one says why it cannot be used


@pytest.mark.parametrize("word", ["ANON", "Anonymous", "000", "unknown", "^^"])
def test_what_stands_for_a_patient_is_none(word: str, tmp_path: Path, listed: Callable):
    """Two people whose names were taken away are two by their folders; numbers that stand for people are people."""
    pixels = RNG.integers(0, 900, (2, 3)).astype(np.uint16)
    for place, (folder, patient) in enumerate([("x", word), ("y", word), ("z", "ANON0017")]):
        (tmp_path / folder).mkdir()
        dicom(tmp_path / folder / "1.dcm", pixels, PatientID=patient, SOPInstanceUID=f"1.9.{place}")
    assert list(listed(set_of("folder"), tmp_path)) == ["ANON0017", "x", "y"]


def test_whose_pictures_are_has_to_be_told(tmp_path: Path, made: Callable):
    images = {
        name: picture(tmp_path / f"{name}.png") for name in ("benign/a", "benign/b", "malignant/a", "malignant/c")
    }
    picture(tmp_path / "benign" / "b_mask.png")
    with pytest.raises(UserError, match=r"cannot be told \(folders: benign, malignant\): add a csv .* --subject file"):
        list(set_of("folder").subjects(tmp_path))
    found = made(set_of("folder", subject="file"), tmp_path)
    assert {name: records[0].labels for name, records in found.items()} == {
        "benign/a.png": {"class": "benign"},
        "benign/b.png": {"class": "benign"},
        "malignant/a.png": {"class": "malignant"},
        "malignant/c.png": {"class": "malignant"},
    }
    for name, pixels in images.items():
        (record,) = found[f"{name}.png"]
        np.testing.assert_array_equal(record.image[..., 0], pixels)
        assert (record.mask is not None) == (name == "benign/b")
    found = made(set_of("folder", subject="folder"), tmp_path)
    assert {name: (len(records), records[0].labels) for name, records in found.items()} == {
        "benign": (2, {}),
        "malignant": (2, {}),
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


def test_a_folder_without_images_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="Nothing of folder is in"):
        list(set_of("folder").subjects(tmp_path))


@pytest.mark.parametrize(
    ("files", "classes", "reason"),
    [
        ("Doe_John/1 Doe_John/2 Miller_Anna/1 Miller_Anna/2 Smith_Eve/1 Smith_Eve/2", set(), "3 of its 3"),
        ("benign/1 benign/2 benign/3 Doe_John/1", {"benign"}, "1 of its 2"),
        ("sick/1 sick/2 2019-05-03/1 2019-05-03/2", {"sick"}, "1 of its 2"),
    ],
)
def test_folders_that_may_be_people_are_no_classes(files, classes, reason, tmp_path: Path):
    for file in files.split():
        picture(tmp_path / f"{file}.png")
    subjects, rejects = with_rejects(set_of("folder", subject="file"), tmp_path)
    assert len(subjects) == len(files.split())
    assert {s.series[0].labels["class"] for s in subjects if s.series[0].labels} == classes
    assert rejects == {tmp_path.name: f"{reason} folders may be people: no label class, the images kept"}


def test_masks_of_pictures_are_never_images(tmp_path: Path):
    image, drawn = tmp_path / "p1" / "a.png", np.zeros((2, 4, 5), np.uint8)
    picture(image)
    drawn[0, 1, 1:3] = drawn[1, 3, 2:] = 255
    Picture.fromarray(drawn[0]).save(tmp_path / "p1" / "a_mask.png")
    Picture.fromarray(drawn[1]).save(tmp_path / "p1" / "a_mask_1.png")
    for name in ("p1/b_mask.png", "p1/c_mask_2.png", "p1/d_seg.png", "p1/masks/e.png"):
        picture(tmp_path / name)
    (subject,), rejects = with_rejects(set_of("folder", subject="folder"), tmp_path)
    (series,) = subject.series
    assert series.files == (image,)
    np.testing.assert_array_equal(series.masks(0, 0, 0, (4, 5)), drawn.any(axis=0))
    orphans = ("b_mask.png", "c_mask_2.png", "d_seg.png", "e.png")
    assert rejects == dict.fromkeys(orphans, "by its name it is the mask of an image, which is not there")


@pytest.mark.parametrize(
    ("uids", "kept", "told"),
    [
        ("123", "012", {}),
        ("1213", "013", {"2": "it has the SOPInstanceUID of 0"}),
        ("1122", "02", {"1": "it has the SOPInstanceUID of 0", "3": "it has the SOPInstanceUID of 2"}),
        (
            "111",
            "012",
            {"0": "its series has one SOPInstanceUID for many files, so that copies cannot be told: all kept"},
        ),
        (
            "11122",
            "01234",
            {"0": "its series has one SOPInstanceUID for many files, so that copies cannot be told: all kept"},
        ),
    ],
)
def test_a_second_file_of_one_instance_is_no_phase(uids, kept, told, tmp_path: Path):
    for place, uid in enumerate(uids):
        pixels = RNG.integers(0, 900, (2, 3)).astype(np.uint16)
        dicom(tmp_path / f"{place}", pixels, PatientID="A", SeriesInstanceUID="1.1", SOPInstanceUID=f"1.9.{uid}")
    (subject,), rejects = with_rejects(set_of("folder"), tmp_path)
    assert [path.name for path in subject.series[0].files] == list(kept)
    assert rejects == told
