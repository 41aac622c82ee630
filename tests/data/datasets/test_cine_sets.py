"""Sets of cardiac MR, each from a tiny tree of the layout that it is distributed in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import MRImageStorage
from scans import dicom, nifti

from jaxssl.data.datasets import set_of

RNG = np.random.default_rng(0)
SHAPE = (7, 6)
"""Columns and rows: NIfTI has x first."""


def volume(*axes: int) -> np.ndarray:
    return RNG.integers(0, 900, (*SHAPE, *axes)).astype(np.int16)


def codes(*axes: int) -> np.ndarray:
    return RNG.integers(0, 4, (*SHAPE, *axes)).astype(np.uint8)


def write(path: Path, array: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    nifti(path, array, spacing=(1.25, 1.5, 10.0, 30.0))
    return array


def acdc(root: Path, name: str, info: str, ed: int, es: int, cine: bool = True) -> dict[str, np.ndarray]:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "Info.cfg").write_text(info)
    frames = volume(3, 5)
    if cine:
        write(folder / f"{name}_4d.nii.gz", frames)
    drawn = {}
    for frame in (ed, es):
        write(folder / f"{name}_frame{frame:02d}.nii.gz", frames[..., frame - 1])
        drawn[frame] = write(folder / f"{name}_frame{frame:02d}_gt.nii.gz", codes(3))
    return {"cine": frames, "ED": drawn[ed], "ES": drawn[es]}


def test_acdc(made: Callable, tmp_path: Path):
    truth = acdc(tmp_path / "training", "patient002", "ED: 1\nES: 4\nGroup: HCM\nHeight: 160.0\nNbFrame: 5\n", 1, 4)
    acdc(tmp_path / "testing", "patient101", "ED: 2\nES: 3\nGroup: NOR\n", 2, 3)
    found = made(set_of("acdc"), tmp_path)
    assert list(found) == ["patient002", "patient101"]
    records = found["patient002"]
    assert len(records) == 15
    for record in records:
        assert (record.view, record.slices, record.phases, record.ordered) == ("sax", 3, 5, True)
        assert record.labels == {"group": "HCM"}
        assert record.moment == {0: "ED", 3: "ES"}.get(record.phase, "")
        np.testing.assert_array_equal(record.image[..., 0], truth["cine"][..., record.slice, record.phase].T)
        np.testing.assert_allclose(record.plane.spacing, (1.5, 1.25))
        assert np.isnan(record.plane.origin).all()
        if record.moment:
            np.testing.assert_array_equal(record.mask, truth[record.moment][..., record.slice].T)
        else:
            assert record.mask is None
    assert {r.phase for r in found["patient101"] if r.mask is not None} == {1, 2}


def test_acdc_without_cines_takes_the_frames(made: Callable, tmp_path: Path):
    truth = acdc(tmp_path, "patient001", "ED: 1\nES: 5\nGroup: DCM\n", 1, 5, cine=False)
    (records,) = made(set_of("acdc"), tmp_path).values()
    assert [(r.slice, r.phase, r.moment) for r in records[:2]] == [(0, 0, "ED"), (0, 1, "ES")]
    for record in records:
        frame = {"ED": 0, "ES": 4}[record.moment]
        np.testing.assert_array_equal(record.image[..., 0], truth["cine"][..., record.slice, frame].T)
        np.testing.assert_array_equal(record.mask, truth[record.moment][..., record.slice].T)


def test_acdc_of_a_copy_with_names_of_moments(made: Callable, tmp_path: Path):
    (tmp_path / "subjects.csv").write_text("subject,group,height_m\npatient007,RV,1.7\n")
    images = {at: write(tmp_path / "subjects" / f"patient007_{at}.nii.gz", volume(2)) for at in ("ED", "ES")}
    masks = {at: write(tmp_path / "subjects" / f"patient007_{at}_gt.nii.gz", codes(2)) for at in ("ED", "ES")}
    (records,) = made(set_of("acdc"), tmp_path).values()
    assert [(r.slice, r.phase, r.moment) for r in records] == [(0, 0, "ED"), (0, 1, "ES"), (1, 0, "ED"), (1, 1, "ES")]
    for record in records:
        assert (record.labels, record.ordered) == ({"group": "RV"}, True)
        np.testing.assert_array_equal(record.image[..., 0], images[record.moment][..., record.slice].T)
        np.testing.assert_array_equal(record.mask, masks[record.moment][..., record.slice].T)


def test_mnms(made: Callable, tmp_path: Path):
    header = ",External code,VendorName,Vendor,Centre,ED,ES,Age,Pathology,Sex,Height,Weight"
    rows = ["0,A0S9V9,Siemens,A,1,0,2,28,HCM,M,180,90", "1,B1C2D3,GE,C,4,3,1,,NOR,F,,"]
    table = tmp_path / "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv"
    table.write_text("\n".join([header, *rows]))
    labelled = tmp_path / "Training" / "Labeled" / "A0S9V9"
    cine = write(labelled / "A0S9V9_sa.nii.gz", volume(2, 4))
    drawn = write(labelled / "A0S9V9_sa_gt.nii.gz", codes(2, 4))
    write(tmp_path / "Training" / "Unlabeled" / "B1C2D3" / "B1C2D3_sa.nii.gz", volume(2, 4))
    found = made(set_of("mnms"), tmp_path)
    assert list(found) == ["A0S9V9", "B1C2D3"]
    swapped = np.array([0, 3, 2, 1])  # LV, MYO, RV there; RV, MYO, LV here
    for record in found["A0S9V9"]:
        assert record.view == "sax"
        assert record.labels == {"vendor": "Siemens", "centre": "1", "group": "HCM"}
        assert record.moment == {0: "ED", 2: "ES"}.get(record.phase, "")
        assert np.isfinite(record.plane.origin).all()
        # The stack is stored by its geometry, base first: which slice of the file it was is told by its pixels.
        (place,) = [z for z in range(2) if np.array_equal(record.image[..., 0], cine[..., z, record.phase].T)]
        if record.moment:
            np.testing.assert_array_equal(record.mask, swapped[drawn[..., place, record.phase].T])
        else:
            assert record.mask is None
    assert {r.moment for r in found["B1C2D3"] if r.phase in (1, 3)} == {"ED", "ES"}
    assert all(r.mask is None for r in found["B1C2D3"])


def test_mnms2(made: Callable, tmp_path: Path):
    table = "SUBJECT_CODE,DISEASE,VENDOR,SCANNER,FIELD\n1,FALL,SIEMENS,SymphonyTim,1.5\n"
    (tmp_path / "dataset_information.csv").write_text(table)
    folder, images, masks = tmp_path / "dataset" / "001", {}, {}
    for short, slices in (("SA", 2), ("LA", 1)):
        write(folder / f"001_{short}_CINE.nii.gz", volume(slices, 3))
        for moment in ("ED", "ES"):
            images[short, moment] = write(folder / f"001_{short}_{moment}.nii.gz", volume(slices))
            masks[short, moment] = write(folder / f"001_{short}_{moment}_gt.nii.gz", codes(slices))
    (records,) = made(set_of("mnms2"), tmp_path).values()
    assert all(
        r.labels == {"vendor": "SIEMENS", "scanner": "SymphonyTim", "field": "1.5", "group": "FALL"} for r in records
    )
    drawn = [r for r in records if r.mask is not None]
    assert len(records) == 2 * 3 + 3 + len(drawn)
    assert sorted((r.view, r.phase, r.moment) for r in drawn) == [
        ("4ch", 0, "ED"), ("4ch", 1, "ES"), ("sax", 0, "ED"), ("sax", 0, "ED"), ("sax", 1, "ES"), ("sax", 1, "ES"),
    ]  # fmt: skip
    for record in drawn:
        key = {"sax": "SA", "4ch": "LA"}[record.view], record.moment
        places = [z for z in range(record.slices) if np.array_equal(record.image[..., 0], images[key][..., z].T)]
        np.testing.assert_array_equal(record.mask, np.array([0, 3, 2, 1])[masks[key][..., places[0]].T])
    assert len({r.study for r in records}) == 2


def test_mnms2_frames_that_are_in_the_cine_are_there_once(made: Callable, tmp_path: Path):
    """ED is in the cine and ES is not: no image is two records, and the masks are on the right ones."""
    folder = tmp_path / "dataset" / "002"
    cine = write(folder / "002_SA_CINE.nii.gz", volume(2, 4))
    write(folder / "002_SA_ED.nii.gz", cine[..., 2])
    still = write(folder / "002_SA_ES.nii.gz", volume(2))
    drawn = {at: write(folder / f"002_SA_{at}_gt.nii.gz", codes(2)) for at in ("ED", "ES")}
    (records,) = made(set_of("mnms2"), tmp_path).values()
    pixels = [r.image.tobytes() for r in records]
    assert len(pixels) == len(set(pixels)) == 2 * 4 + 2
    swapped = np.array([0, 3, 2, 1])
    for record in records:
        of_cine = record.phases == 4
        assert record.moment == ({2: "ED"}.get(record.phase, "") if of_cine else "ES")
        frame = cine[..., record.phase] if of_cine else still
        (place,) = [z for z in range(2) if np.array_equal(record.image[..., 0], frame[..., z].T)]
        if record.moment:
            np.testing.assert_array_equal(record.mask, swapped[drawn[record.moment][..., place].T])
        else:
            assert record.mask is None


def test_mnms2_frames_are_kept_where_their_cine_is_damaged(tmp_path: Path):
    folder = tmp_path / "dataset" / "002"
    cine = write(folder / "002_SA_CINE.nii.gz", volume(2, 4))
    write(folder / "002_SA_ED.nii.gz", cine[..., 0])
    whole = (folder / "002_SA_CINE.nii.gz").read_bytes()
    (folder / "002_SA_CINE.nii.gz").write_bytes(whole[: len(whole) * 3 // 4])
    (subject,) = set_of("mnms2").subjects(tmp_path)
    assert [(series.study, dict(series.moments)) for series in subject.series] == [
        ("cine", {}),
        ("segmented", {0: "ED"}),
    ]


def test_mnms_without_a_row_in_the_table_is_told(tmp_path: Path):
    write(tmp_path / "Training" / "Labeled" / "A" / "A_sa.nii.gz", volume(2, 4))
    (tmp_path / "about.csv").write_text("External code,ED,ES\nB,0,1\n")
    told = []
    (subject,) = set_of("mnms").subjects(tmp_path, lambda path, reason: told.append((path.name, reason)))
    assert subject.name == "A"
    assert told == [("A_sa.nii.gz", "no csv has a row of A: no moments, no masks and no labels, the images kept")]


def cine_slice(folder: Path, depth: float, first: int, phases: int = 2, stem: str = "IM-0003") -> list[np.ndarray]:
    """A short-axis slice as DICOM, a file a phase, `depth` mm towards the apex."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [RNG.integers(0, 900, (6, 7)).astype(np.uint16) for _ in range(phases)]
    normal = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
    across = np.array([1.0, 1.0, 0.0]) / np.sqrt(2)
    for phase, pixels in enumerate(frames):
        dicom(
            folder / f"{stem}-{first + phase:04d}.dcm",
            pixels,
            SOPClassUID=MRImageStorage,
            SeriesInstanceUID=f"1.2.{folder.name.rpartition('_')[2]}",
            PixelSpacing=[1.5, 1.25],
            ImageOrientationPatient=[*across, *np.cross(normal, across)],
            ImagePositionPatient=[*(depth * normal)],
            SliceThickness=8.0,
            TriggerTime=30.0 * phase,
        )
    return frames


def test_kaggle_dsb(made: Callable, tmp_path: Path):
    study = tmp_path / "train" / "7" / "study"
    base, apex = cine_slice(study / "sax_12", 0.0, 1), cine_slice(study / "sax_5", 10.0, 1)
    cine_slice(study / "2ch_21", 30.0, 1)
    (study / "sax_12" / "notes.txt").write_text("")
    cine_slice(tmp_path / "validate" / "501" / "study" / "4ch_2", 0.0, 1)
    (tmp_path / "train.csv").write_text("Id,Systole,Diastole\n7,108.3,246.7\n")
    found = made(set_of("kaggle_dsb"), tmp_path)
    assert list(found) == ["7", "501"]
    stack = [r for r in found["7"] if r.view == "sax"]
    assert [(r.slice, r.phase) for r in stack] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for record, pixels in zip(stack, [*base, *apex], strict=True):
        np.testing.assert_array_equal(record.image[..., 0], pixels)
        np.testing.assert_allclose(record.plane.spacing, (1.5, 1.25))
        assert (record.slices, record.phases, record.ordered, record.thickness) == (2, 2, True, 8.0)
    assert {r.view for r in found["7"]} == {"sax", "2ch"}
    assert {r.view for r in found["501"]} == {"4ch"}


def test_sunnybrook(made: Callable, tmp_path: Path):
    (tmp_path / "scd_patientdata.csv").write_text(
        "PatientID,OriginalID,Gender,Age,PathologyID,Pathology\n"
        "SCD0000101,SC-HF-I-1,Male,60,2,Heart failure with infarct\n"
    )
    person = tmp_path / "SCD_IMAGES_01" / "SCD0000101"
    frames = cine_slice(person / "CINESAX_300", 0.0, 47, phases=3)
    cine_slice(person / "SCOUT_1", 0.0, 1)
    drawn = tmp_path / "SCD_ManualContours" / "SC-HF-I-01" / "contours-manual" / "IRCCI-expert"
    drawn.mkdir(parents=True)
    (drawn / "IM-0001-0048-ocontour-manual.txt").write_text("0.5 0.5\n5.5 0.5\n5.5 4.5\n0.5 4.5\n")
    (drawn / "IM-0001-0048-icontour-manual.txt").write_text("1.50 1.50\n4.50 1.50\n4.50 3.50\n1.50 3.50\n")
    (drawn / "IM-0001-0048-p1contour-manual.txt").write_text("2 2\n3 2\n3 3\n")
    records = made(set_of("sunnybrook"), tmp_path)["SCD0000101"]
    assert [(r.view, r.phase, r.mask is not None) for r in records] == [
        ("sax", 0, False), ("sax", 1, True), ("sax", 2, False),
    ]  # fmt: skip
    np.testing.assert_array_equal(records[1].image[..., 0], frames[1])
    wanted = np.zeros((6, 7), np.uint8)
    wanted[1:5, 1:6] = 2
    wanted[2:4, 2:5] = 3
    np.testing.assert_array_equal(records[1].mask, wanted)
    assert records[1].labels == {"group": "Heart failure with infarct"}


@pytest.mark.parametrize(
    ("first", "second", "drawn_on"),
    [
        ("1 2", "1 2 3 4", "CINESAX_301"),  # the one that has all images which somebody drew on
        ("2 4", "2 4 5", "CINESAX_301"),  # the one of more images
        ("2 4", "2 4", None),
    ],
)
def test_contours_of_sunnybrook_are_drawn_on_one_cine(first: str, second: str, drawn_on: str | None, tmp_path: Path):
    """Some patients have several short-axis cines, whose images have the same numbers."""
    (tmp_path / "scd_patientdata.csv").write_text("PatientID,OriginalID,Pathology\nSCD0000101,SC-N-2,Normal\n")
    for folder, numbers in (("CINESAX_300", first), ("CINESAX_301", second), ("CINELAX_302", "2 4 6")):
        path = tmp_path / "SCD0000101" / folder
        path.mkdir(parents=True)
        for number in numbers.split():
            (path / f"IM-0003-{number:>04}.dcm").write_bytes(b"x")
    for patient, number in (("SC-N-02", 2), ("SC-N-02", 4), ("SC-N-03", 2)):
        drawn = tmp_path / "SCD_ManualContours" / patient / "contours-manual" / "IRCCI-expert"
        drawn.mkdir(parents=True, exist_ok=True)
        (drawn / f"IM-0001-{number:04d}-icontour-manual.txt").write_text("1 1\n2 1\n2 2\n")
    told = {}
    (subject,) = set_of("sunnybrook").subjects(tmp_path, lambda path, reason: told.update({path.name: reason}))
    masked = {series.files[0].parent.name for series in subject.series if series.masks.parts}
    assert masked == ({drawn_on} if drawn_on else set())
    several = "its contours may be of 2 short-axis cines: no masks, the images kept"
    assert told == {
        "IM-0001-0002-icontour-manual.txt": "no patient that is here has its name as the original one",
        **({} if drawn_on else {"SCD0000101": several}),
    }
