"""Any folder: whose its images are, what belongs together, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from folders import names_of, picture, volume, with_rejects
from PIL import Image as Picture
from PIL import ImageDraw
from scans import dicom

from jaxssl.data.datasets import set_of
from jaxssl.errors import UserError

RNG = np.random.default_rng(0)
ORPHAN = "by its name it is the mask of an image, which is not there, or is not the only one"


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
        "p2_gt.nii.gz": ORPHAN,
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
    with pytest.raises(UserError, match=r"cannot be told \(folders: benign, malignant\): put a csv .* --subject file"):
        list(set_of("folder").subjects(tmp_path))
    found = made(set_of("folder", subject="file", labels=("class",)), tmp_path)
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


def test_a_single_picture_is_somebodys_whether_it_has_a_mask_or_not(tmp_path: Path, made: Callable):
    pixels = picture(tmp_path / "who" / "scan.png")
    picture(tmp_path / "who" / "scan_mask.png")
    ((name, (record,)),) = made(set_of("folder"), tmp_path).items()
    assert (name, record.mask is not None) == ("who", True)
    np.testing.assert_array_equal(record.image[..., 0], pixels)


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


def test_folders_that_may_be_people_are_no_classes_unless_somebody_says_so(tmp_path: Path):
    """Nobody can tell Doe_John from benign but who knows them: a name must not come into a store unasked."""
    for file in ("Doe_John/1", "Doe_John/2", "Miller_Anna/1", "images/1"):
        picture(tmp_path / f"{file}.png")
    subjects, rejects = with_rejects(set_of("folder", subject="file"), tmp_path)
    assert [subject.series[0].labels for subject in subjects] == [{}] * 4
    assert rejects == {tmp_path.name: "its folders, as Doe_John, are no labels: say --labels class if they are classes"}
    subjects, rejects = with_rejects(set_of("folder", subject="file", labels=("class",)), tmp_path)
    labels = [subject.series[0].labels.get("class") for subject in subjects]
    assert (labels, rejects) == (["Doe_John", "Doe_John", "Miller_Anna", None], {})
    for subject, named in (("folder", "class"), ("file", "ward")):
        with pytest.raises(UserError, match="has no csv with columns that --labels could name"):
            list(set_of("folder", subject=subject, labels=(named,)).subjects(tmp_path))


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/p1/a.png", "masks/p1/a.png"),
        ("p1/images/a.png", "p1/masks/a.png"),
        ("train/images/p1/a.png", "train/segmentations/p1/a.png"),
        ("p1/a.png", "p1/a_GT.png"),
        ("p1/a.png", "p1/a_segmentation.png"),
        ("p1/a.png", "p1/Ground_Truth/a_mask.png"),
        ("p1/Images/a.png", "p1/Annotations/a.png"),
        ("p1/a.jpg", "p1/a-label.png"),
        ("p1/sax/a.png", "p1/masks/a.png"),
        ("imagesTr/p1_0000.png", "labelsTr/p1.png"),
    ],
)
def test_a_mask_is_found_wherever_people_put_it(image: str, mask: str, tmp_path: Path):
    picture(tmp_path / image)
    picture(tmp_path / mask)
    Picture.fromarray(np.array([[0, 2]], np.uint8)).save(tmp_path / mask)
    (subject,), rejects = with_rejects(set_of("folder", subject="folder"), tmp_path)
    (series,) = subject.series
    assert (series.files, rejects) == ((tmp_path / image,), {})
    np.testing.assert_array_equal(series.masks(0, 0, 0, (1, 2)), [[0, 2]])


def test_of_several_masks_the_nearest_is_taken_and_none_is_of_another_part(tmp_path: Path):
    for name in ("imagesTr/a", "imagesTs/a", "labelsTr/a", "p1/a", "p1/a_seg", "p1/masks/a", "p2/a"):
        picture(tmp_path / f"{name}.png")
    subjects, rejects = with_rejects(set_of("folder", subject="file"), tmp_path)
    masks = {subject.name: subject.series[0].masks for subject in subjects}
    drawn = {name: mask.path.relative_to(tmp_path).as_posix() for name, mask in masks.items() if mask}
    assert drawn == {"imagesTr/a.png": "labelsTr/a.png", "p1/a.png": "p1/a_seg.png"}
    assert (rejects["a.png"], len(subjects)) == (ORPHAN, 4)


def test_a_mask_that_may_be_of_several_images_is_of_none(tmp_path: Path):
    for name in ("p1/a", "p2/a", "p2/b", "masks/a", "masks/b", "c", "p1/c", "masks/c"):
        picture(tmp_path / f"{name}.png")
    subjects, rejects = with_rejects(set_of("folder", subject="file"), tmp_path)
    drawn = {subject.name: subject.series[0].masks.path.name for subject in subjects if subject.series[0].masks}
    assert drawn == {"p2/b.png": "b.png", "c.png": "c.png"}
    assert rejects["a.png"] == ORPHAN


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
    assert rejects == dict.fromkeys(orphans, ORPHAN)


def test_the_codes_of_masks_have_names_where_they_are_given(tmp_path: Path, made: Callable):
    volume(tmp_path / "p7_sax.nii.gz", 2)
    drawn = volume(tmp_path / "p7_sax_gt.nii.gz", 2, codes=True)
    assert set_of("folder").classes == ()
    kind = set_of("folder", classes=("RV", "MYO", "LV"))
    assert kind.classes == ("background", "RV", "MYO", "LV")
    (records,) = made(kind, tmp_path).values()
    assert [record.mask.max() for record in records] == [drawn[..., z].max() for z in range(2)] == [3, 3]
    for wrong in (("LV", "LV"), ("background", "LV"), ("LV", "")):
        with pytest.raises(UserError, match="are named twice"):
            set_of("folder", classes=wrong)


def test_pictures_of_ultrasound_lose_what_stands_beside_the_fan_where_the_user_says_so(tmp_path: Path, made: Callable):
    echoes = np.zeros((150, 200), bool)
    echoes[20:125, 45:165] = True
    drawing = Picture.fromarray(np.where(echoes, np.clip(RNG.rayleigh(55, echoes.shape), 1, 230), 0).astype(np.uint8))
    ImageDraw.Draw(drawing).text((4, 2), "ADA HUSHNAME", fill=255, font_size=12)
    drawing.save(tmp_path / "scan.png")
    screen = np.asarray(drawing)
    assert screen[~echoes].any()
    for fan in (False, True):
        ((record,),) = made(set_of("folder", subject="file", fan=fan), tmp_path).values()
        shown = record.image[..., 0]
        np.testing.assert_array_equal(shown[echoes], screen[echoes])
        assert shown[~echoes].any() == (not fan)
