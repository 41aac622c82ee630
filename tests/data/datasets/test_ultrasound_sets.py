"""Sets of ultrasound, each from a tiny tree of the layout that it is distributed in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from folders import grey, smooth
from PIL import Image as Picture
from PIL import ImageDraw
from scans import nifti

from jaxssl.data.datasets import set_of

RNG = np.random.default_rng(0)


def test_fetal_planes(made: Callable, tmp_path: Path):
    (tmp_path / "FETAL_PLANES_DB_data.csv").write_text(
        "Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train \n"
        "Patient00002_Plane3_1_of_1;2;Fetal brain;Trans-cerebellum;Op. 1;Voluson E6;0\n"
        "Patient00003_Plane3_1_of_1;3;Fetal brain;Other;Op. 1;Voluson E6;0\n"
        "Patient00001_Plane1_1_of_2;1;Other;Not A Brain;Other;Aloka;1\n"
        "Patient00001_Plane1_2_of_2;1;Maternal cervix;Not A Brain;Other;Aloka;1\n"
    )
    names = ("Patient00001_Plane1_1_of_2", "Patient00001_Plane1_2_of_2", "Patient00002_Plane3_1_of_1")
    names += ("Patient00003_Plane3_1_of_1",)
    images = {name: grey(tmp_path / "Images" / f"{name}.png") for name in names}
    found = made(set_of("fetal_planes"), tmp_path)
    assert list(found) == ["00001", "00002", "00003"]
    (brain,) = found["00002"]
    np.testing.assert_array_equal(brain.image[..., 0], images["Patient00002_Plane3_1_of_1"])
    assert brain.view == "brain"
    assert brain.labels == {
        "plane": "Fetal brain",
        "brain_plane": "Trans-cerebellum",
        "fine_plane": "Trans-cerebellum",
        "operator": "Op. 1",
        "machine": "Voluson E6",
        "split": "test",
    }
    (unnamed,) = found["00003"]
    assert unnamed.labels["plane"] == "Fetal brain"
    assert not {"brain_plane", "fine_plane"} & unnamed.labels.keys(), "what is only other has nothing in common"
    assert {r.view for r in found["00001"]} == {"other", "cervix"}
    assert len({r.study for r in found["00001"]}) == 2
    assert all("brain_plane" not in r.labels and r.labels["split"] == "train" for r in found["00001"])
    assert {r.view: r.labels.get("fine_plane") for r in found["00001"]} == {"other": None, "cervix": "Maternal cervix"}
    assert {r.labels.get("fine_plane") for r in found["00003"]} == {None}


def outline(path: Path, box: tuple[int, int, int, int]) -> np.ndarray:
    """The outline of an ellipse in a picture of 60 x 80, and its inside by the equation."""
    picture = Picture.new("L", (80, 60))
    ImageDraw.Draw(picture).ellipse(box, outline=255)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    y, x = np.indices((60, 80))
    left, top, right, bottom = box
    place = (x - (left + right) / 2) / (right - left) * 2, (y - (top + bottom) / 2) / (bottom - top) * 2
    return place[0] ** 2 + place[1] ** 2 <= 1


def test_hc18(made: Callable, tmp_path: Path):
    (tmp_path / "training_set_pixel_size_and_HC.csv").write_text(
        "filename,pixel size(mm),head circumference (mm)\n"
        "010_HC.png,0.07,44.3\n010_2HC.png,0.14,180.1\n011_HC.png,0.1,60\n"
    )
    (tmp_path / "test_set_pixel_size.csv").write_text("filename,pixel size(mm)\n010_HC.png,0.2\n")
    big = RNG.integers(0, 256, (60, 80)).astype(np.uint8)
    heads = {
        "010_HC": outline(tmp_path / "training_set" / "010_HC_Annotation.png", (10, 8, 70, 50)),
        "010_2HC": outline(tmp_path / "training_set" / "010_2HC_Annotation.png", (-12, 8, 60, 66)),  # cut by the rim
        "011_HC": outline(tmp_path / "training_set" / "011_HC_Annotation.png", (30, 20, 50, 40)),
    }
    for place, name in enumerate(heads):
        grey(tmp_path / "training_set" / f"{name}.png", np.roll(big, place))
    grey(tmp_path / "test_set" / "010_HC.png", np.roll(big, 9))
    found = made(set_of("hc18"), tmp_path)
    assert list(found) == ["test_set 010", "training_set 010", "training_set 011"]
    of_size = {0.07: "010_HC", 0.14: "010_2HC"}
    assert {record.plane.spacing[0] for record in found["training_set 010"]} == set(of_size)
    for record in (*found["training_set 010"], *found["training_set 011"]):
        name = of_size.get(record.plane.spacing[0], "011_HC")
        np.testing.assert_array_equal(record.plane.spacing[0], record.plane.spacing[1])
        both = np.logical_and(record.mask, heads[name]).sum()
        assert 2 * both / (record.mask.sum() + heads[name].sum()) > 0.98
        assert set(np.unique(record.mask)) == {0, 1}
        assert (record.view, record.labels) == ("head", {"split": "training"})
    (test,) = found["test_set 010"]
    assert test.mask is None
    assert test.labels == {"split": "test"}


def test_hc18_of_a_copy_with_filled_masks(made: Callable, tmp_path: Path):
    (tmp_path / "hc18.csv").write_text(
        "file,subject,orig_w,orig_h,pixel_mm_in_this_copy,head_circumference_mm\n003_2HC.png,003,800,540,0.25,69.0\n"
    )
    pixels = grey(tmp_path / "images" / "003_2HC.png")
    inside = np.zeros((9, 12), bool)
    inside[2:6, 3:10] = True
    grey(tmp_path / "masks" / "003_2HC.png", inside)
    found = made(set_of("hc18"), tmp_path)
    (record,) = found["003"]
    np.testing.assert_array_equal(record.image[..., 0], pixels)
    np.testing.assert_array_equal(record.mask, inside)
    np.testing.assert_array_equal(record.plane.spacing, (0.25, 0.25))


def test_camus(listed: Callable, tmp_path: Path):
    folder = tmp_path / "database_nifti" / "patient0003"
    folder.mkdir(parents=True)
    drawn = {}
    for view in ("2CH", "4CH"):
        (folder / f"Info_{view}.cfg").write_text(
            "ED: 1\nES: 18\nNbFrame: 18\nSex: F\nAge: 56\nImageQuality: Good\nEF: 61\n"
        )
        for moment in ("ED", "ES"):
            nifti(folder / f"patient0003_{view}_{moment}.nii.gz", RNG.integers(0, 256, (5, 8)).astype(np.uint8))
            drawn[view, moment] = RNG.integers(0, 4, (5, 8)).astype(np.uint8)
            nifti(folder / f"patient0003_{view}_{moment}_gt.nii.gz", drawn[view, moment])
    (subject,) = listed(set_of("camus"), tmp_path).values()
    assert (subject.name, [series.view for series in subject.series]) == ("patient0003", ["2ch", "4ch"])
    for series, view in zip(subject.series, ("2CH", "4CH"), strict=True):
        assert [path.name for path in series.files] == [f"patient0003_{view}_{at}.nii.gz" for at in ("ED", "ES")]
        assert (series.moments, series.labels, series.placed) == ({0: "ED", 1: "ES"}, {"quality": "Good"}, False)
        for file, moment in enumerate(("ED", "ES")):
            np.testing.assert_array_equal(series.masks(file, 0, 0, (8, 5)), drawn[view, moment].T)


def test_echonet(listed: Callable, tmp_path: Path):
    (tmp_path / "FileList.csv").write_text(
        "FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split\n"
        "0X1B,55.2,40.1,90.2,112,112,50,90,TRAIN\n0X1A,30.0,40.1,90.2,112,112,50,90,VAL\n"
    )
    large = f"0X1B.avi,5,1,5,11,{61}\n0X1B.avi,2,3,8,3,{61}\n0X1B.avi,2,9,8,9,{61}\n"
    small = f"0X1B.avi,5,1,5,11,{12}\n0X1B.avi,4,4,6,4,{12}\n0X1B.avi,4,8,6,8,{12}\n"
    (tmp_path / "VolumeTracings.csv").write_text("FileName,X1,Y1,X2,Y2,Frame\n" + small + large)
    found = listed(set_of("echonet"), tmp_path)
    assert list(found) == ["0X1A", "0X1B"]
    (series,) = found["0X1B"].series
    assert series.files == (tmp_path / "Videos" / "0X1B.avi",)
    assert (series.view, series.moments, series.labels) == ("4ch", {61: "ED", 12: "ES"}, {"split": "train"})
    wanted = np.zeros((12, 12), np.uint8)
    wanted[3:9, 2:8] = 1  # a corner on a pixel's centre: the near edges count, the far ones do not
    np.testing.assert_array_equal(series.masks(0, 0, 61, (12, 12)), wanted)
    assert series.masks(0, 0, 12, (12, 12)).sum() == 8
    assert series.masks(0, 0, 13, (12, 12)) is None
    assert found["0X1A"].series[0].moments == {}


def test_busi(made: Callable, tmp_path: Path):
    """Two images that are the same but for a caption are one subject; several masks of an image are one."""
    root = tmp_path / "Dataset_BUSI_with_GT"
    first, captioned = smooth(1), smooth(1).copy()
    captioned[:6, :20] = 255
    images = {"benign (1)": first, "benign (10)": captioned, "malignant (1)": smooth(2), "normal (1)": smooth(3)}
    masks = {name: np.zeros((96, 128), bool) for name in (*images, "benign (1) 1")}
    masks["benign (1)"][10:20, 10:20] = masks["benign (1) 1"][50:60, 70:90] = masks["malignant (1)"][5:9, 5:9] = True
    for name, pixels in images.items():
        grey(root / name.split()[0] / f"{name}.png", np.stack([pixels] * 3, axis=-1))
        grey(root / name.split()[0] / f"{name}_mask.png", masks[name])
    grey(root / "benign" / "benign (1)_mask_1.png", masks["benign (1) 1"])
    found = made(set_of("busi"), tmp_path)
    assert {name: len(records) for name, records in found.items()} == {
        "benign (1)": 2,
        "malignant (1)": 1,
        "normal (1)": 1,
    }
    (two,) = [r for r in found["benign (1)"] if np.array_equal(r.image[..., 0], first)]
    np.testing.assert_array_equal(two.mask, masks["benign (1)"] | masks["benign (1) 1"])
    assert (two.view, two.labels) == ("breast", {"group": "benign"})
    assert np.isnan(two.plane.spacing).all()
    (normal,) = found["normal (1)"]
    assert normal.labels == {"group": "normal"}
    assert not normal.mask.any()


def test_busi_of_a_copy_with_a_table(made: Callable, tmp_path: Path):
    """The same picture under images and pairs is of one subject, even where they do not look alike."""
    (tmp_path / "busi.csv").write_text(
        "file,mask,label\nimages/benign_015.png,,benign\nimages/normal_002.png,,normal\n"
        "pairs/benign_015.png,pairs/benign_015_mask.png,benign\n"
    )
    grey(tmp_path / "images" / "benign_015.png", smooth(1))
    grey(tmp_path / "images" / "normal_002.png", smooth(2))
    pair = grey(tmp_path / "pairs" / "benign_015.png", smooth(3, (64, 80)))
    drawn = grey(tmp_path / "pairs" / "benign_015_mask.png", RNG.random((64, 80)) > 0.5)
    found = made(set_of("busi"), tmp_path)
    assert {name: len(records) for name, records in found.items()} == {"benign_015": 2, "normal_002": 1}
    masked = [r for records in found.values() for r in records if r.mask is not None]
    np.testing.assert_array_equal(masked[0].image[..., 0], pair)
    np.testing.assert_array_equal(masked[0].mask, drawn)
    assert len(masked) == 1


@pytest.mark.parametrize("box", [(10, 8, 70, 50), (-12, 8, 60, 66)])
def test_an_outline_is_drawn_as_this_module_draws_it(box: tuple[int, int, int, int], tmp_path: Path):
    """What the test of HC18 compares with is the picture's own ellipse: the drawn line follows its rim."""
    inside = outline(tmp_path / "a.png", box)
    y, x = np.nonzero(np.asarray(Picture.open(tmp_path / "a.png")))
    near = [inside[max(0, v - 1) : v + 2, max(0, u - 1) : u + 2] for v, u in zip(y, x, strict=True)]
    assert all(block.any() and not block.all() for block in near if block.shape == (3, 3))


def test_camus_is_one_image_in_two_phases(made: Callable, tmp_path: Path):
    folder, drawn = tmp_path / "patient0003", {}
    folder.mkdir()
    (folder / "Info_2CH.cfg").write_text("ED: 1\nImageQuality: Good\n")
    for moment in ("ED", "ES"):
        nifti(folder / f"patient0003_2CH_{moment}.nii.gz", RNG.integers(0, 256, (5, 8)).astype(np.uint8))
        drawn[moment] = RNG.integers(0, 4, (5, 8)).astype(np.uint8)
        nifti(folder / f"patient0003_2CH_{moment}_gt.nii.gz", drawn[moment])
    (records,) = made(set_of("camus"), tmp_path).values()
    assert [(r.slice, r.slices, r.phase, r.moment) for r in records] == [(0, 1, 0, "ED"), (0, 1, 1, "ES")]
    for record in records:
        np.testing.assert_array_equal(record.mask, drawn[record.moment].T)
        np.testing.assert_allclose(record.plane.spacing, (0.75, 0.5))
        assert np.isnan(record.plane.origin).all()


def test_camus_is_a_half_sequence_where_there_is_one(made: Callable, tmp_path: Path):
    """Of which the first frame may be ES; the images of ED and ES are frames of it and not taken twice."""
    folder = tmp_path / "patient0004"
    folder.mkdir()
    (folder / "Info_4CH.cfg").write_text("ED: 4\nES: 1\nNbFrame: 4\nImageQuality: Poor\n")
    frames = RNG.integers(0, 256, (5, 8, 4)).astype(np.uint8)
    drawn = RNG.integers(0, 4, (5, 8, 4)).astype(np.uint8)
    nifti(folder / "patient0004_4CH_half_sequence.nii.gz", frames)
    nifti(folder / "patient0004_4CH_half_sequence_gt.nii.gz", drawn)
    nifti(folder / "patient0004_4CH_ED.nii.gz", frames[..., 3])
    (records,) = made(set_of("camus"), tmp_path).values()
    assert [(r.slice, r.slices, r.phase, r.phases) for r in records] == [(0, 1, phase, 4) for phase in range(4)]
    assert [r.moment for r in records] == ["ES", "", "", "ED"]
    for phase, record in enumerate(records):
        np.testing.assert_array_equal(record.image[..., 0], frames[..., phase].T)
        np.testing.assert_array_equal(record.mask, drawn[..., phase].T)
