"""Tables that say more of files which tell themselves whose they are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from folders import picture, volume
from PIL import Image as Picture
from scans import dicom

from jaxssl.data.datasets import set_of
from jaxssl.errors import UserError

RNG = np.random.default_rng(0)
SIZE = (4, 5)


def cine(source: Path, patient: str, slices: int = 2, phases: int = 3) -> None:
    """A short-axis stack, a file an image, which are called by patient, slice and phase."""
    for place in range(slices):
        for phase in range(phases):
            name = f"{patient}-{place}-{phase}"
            dicom(
                source / name,
                RNG.integers(0, 900, SIZE).astype(np.uint16),
                PatientID=patient,
                StudyInstanceUID=f"1.{patient[-1]}",
                SeriesInstanceUID=f"1.{patient[-1]}.1",
                SOPInstanceUID=f"1.{patient[-1]}.1.{place}.{phase}",
                InstanceNumber=1 + place * phases + phase,
                TriggerTime=100.0 * phase,
                ImagePositionPatient=[0.0, 0.0, 8.0 * place],
                ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                PixelSpacing=[1.5, 1.5],
            )


def drawn(path: Path, code: int) -> np.ndarray:
    path.parent.mkdir(exist_ok=True)
    mask = np.full(SIZE, code, np.uint8)
    Picture.fromarray(mask).save(path)
    return mask


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def heard(kind, source: Path) -> tuple[list, list[tuple[str, str]]]:
    said = []
    return list(kind.subjects(source, lambda path, reason: said.append((path.name, reason)))), said


def test_masks_and_moments_are_given_to_a_cine_and_labels_to_people(tmp_path: Path, made: Callable):
    scans = tmp_path / "scans"
    (scans / "masks").mkdir(parents=True)
    cine(scans, "P1")
    cine(scans, "P2")
    masks = {
        (place, phase): drawn(scans / "masks" / f"{place}{phase}.png", 1 + place)
        for place in (0, 1)
        for phase in (0, 2)
    }
    rows = [f"P1-{place}-{phase},{'ES' if phase else 'ED'},masks/{place}{phase}.png" for place, phase in masks]
    files = written(scans / "files.csv", "file,moment,mask", *rows)
    people = written(tmp_path / "people.csv", "patient,group", "P1,DCM", "P2,NOR")
    found = made(set_of("folder", tables=[files, people], classes=("a", "b")), scans)
    assert {who: {each.labels["group"] for each in records} for who, records in found.items()} == {
        "P1": {"DCM"},
        "P2": {"NOR"},
    }
    assert len(found["P1"]) == len(found["P2"]) == 6
    by_place = {(each.slice, each.phase): each for each in found["P1"]}
    assert {place: each.moment for place, each in by_place.items()} == {
        (place, phase): {0: "ED", 1: "", 2: "ES"}[phase] for place in (0, 1) for phase in range(3)
    }
    codes = {place: each.mask is not None and int(each.mask.max()) for place, each in by_place.items()}
    assert {place for place, code in codes.items() if code is not False} == set(masks)
    assert sorted(codes[place] for place in masks) == [1, 1, 2, 2]
    assert all(each.mask is None and not each.moment for each in found["P2"])


def test_frames_of_one_file_are_counted_from_0(tmp_path: Path, made: Callable):
    volume(tmp_path / "p1.nii.gz", 2, 3)
    files = written(tmp_path / "files.csv", "file,frame,moment", "p1.nii.gz,2,ES", "p1.nii.gz,0,ED")
    ((_, records),) = made(set_of("folder", tables=[files]), tmp_path).items()
    assert {(each.phase, each.moment) for each in records} == {(0, "ED"), (1, ""), (2, "ES")}


def test_rows_that_are_refused(tmp_path: Path):
    cine(tmp_path, "P1")
    picture(tmp_path / "mask.png")
    files = written(
        tmp_path / "files.csv",
        "file,moment,mask,frame,group",
        "P1-0-0,ED,mask.png,,a",
        "P1-0-0,ES,,,",
        "P1-0-1,diastole,,,",
        "P1-0-2,ES,,1,",
        "gone,ED,,,",
        "P1-1-0,ED,gone.png,,",
        "mask.png,ED,,,",
    )
    people = written(tmp_path / "people.csv", "subject,group", "P1,a", "P1,b", "P9,c")
    (subject,), said = heard(set_of("folder", tables=[files, people]), tmp_path)
    assert subject.series[0].moments == {0: "ED"}
    assert subject.series[0].labels["group"] == "a"
    assert sorted(said) == sorted(
        [
            ("files.csv", "its columns group are left out: labels stand in a table of people"),
            ("P1-0-0", "row 3 of files.csv names it again"),
            ("P1-0-1", "row 4 of files.csv has the moment 'diastole', which is neither ED nor ES"),
            ("P1-0-2", "row 5 of files.csv names a frame, and its series has a file for each image"),
            ("gone", "row 6 of files.csv names gone, which is not in " + tmp_path.name),
            ("P1-1-0", "row 7 of files.csv names gone.png, which is not in " + tmp_path.name),
            ("mask.png", "row 8 of files.csv names it, which is no image of anybody"),
            ("people.csv", "row 3 of people.csv names somebody again"),
            ("people.csv", "row 4 of people.csv names nobody of whom there is an image"),
        ]
    )


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            ("file,moment,mask", "P1-0-0,ED,elsewhere/a.png", "gone,ES,"),
            r"No row of .*files\.csv .*: row 2 of files\.csv",
        ),
        (
            ("file,moment", "mask.png,ED"),
            r"No row .*: row 2 of files\.csv names mask\.png, which is no image of anybody",
        ),
        (
            ("file,label", "P1-0-0,mask.png"),
            "no column moment or mask, which a table of files is for, but label beside",
        ),
        (("file,view", "P1-0-0,sax"), "but view beside file"),
        (("file,moment,mask",), "No row of .*: none has a moment or a mask"),
        (("file,moment,mask", "P1-0-0,,"), "No row of .*: none has a moment or a mask"),
        (("file,moment", "P1-0-0,diastole"), r"'diastole', which is neither ED nor ES\.$"),
    ],
)
def test_a_table_of_which_nothing_can_be_used_is_refused(lines, sentence, tmp_path: Path):
    cine(tmp_path, "P1")
    picture(tmp_path / "mask.png")
    files = written(tmp_path / "files.csv", *lines)
    with pytest.raises(UserError, match=sentence):
        heard(set_of("folder", tables=[files]), tmp_path)


def test_a_table_that_lists_all_images_stands_alone(tmp_path: Path):
    cine(tmp_path, "P1")
    listing = written(tmp_path / "list.csv", "file,subject", "P1-0-0,a")
    people = written(tmp_path / "people.csv", "subject,group", "P1,a")
    with pytest.raises(UserError, match=r"several tables, list\.csv, people\.csv, though one lists all images"):
        list(set_of("folder", tables=[listing, people]).subjects(tmp_path))
