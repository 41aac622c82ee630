"""Sets of knee MR, each from a tiny tree of the layout that it is distributed in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import MRImageStorage
from scans import dicom

from jaxssl.data.datasets import set_of
from jaxssl.data.formats import Unreadable, arrays

RNG = np.random.default_rng(0)


def test_mrnet(listed: Callable, tmp_path: Path):
    root = tmp_path / "MRNet-v1.0"
    stacks = {}
    for part, name in (("train", "0001"), ("valid", "1130")):
        for plane, slices in (("axial", 3), ("coronal", 2), ("sagittal", 4)):
            stack = RNG.integers(0, 256, (slices, 5, 5)).astype(np.uint8)
            folder = root / part / plane
            folder.mkdir(parents=True)
            np.save(folder / f"{name}.npy", stack)
            stacks[name, plane] = stack
    for finding, answer in (("abnormal", 1), ("acl", 0), ("meniscus", 1)):
        (root / f"train-{finding}.csv").write_text(f"0000,0\n0001,{answer}\n")
    found = listed(set_of("mrnet"), tmp_path)
    assert list(found) == ["0001", "1130"]
    labels = {"split": "train", "abnormal": "yes", "acl": "no", "meniscus": "yes"}
    assert [(s.view, s.labels) for s in found["0001"].series] == [(p, labels) for p in ("axial", "coronal", "sagittal")]
    assert all(s.labels == {"split": "valid"} for s in found["1130"].series)
    for name, subject in found.items():
        for series in subject.series:
            assert (series.placed, series.ordered) == (False, True)
            images = list(arrays.read(series.files[0]))
            assert [(image.slice, image.frame, image.spacing) for image in images] == [
                (place, 0, None) for place in range(len(images))
            ]
            np.testing.assert_array_equal([i.pixels[..., 0] for i in images], stacks[name, series.view])


def test_arrays_that_are_no_images_are_refused(tmp_path: Path):
    def reason(path: Path) -> str:
        with pytest.raises((Unreadable, ValueError)) as refused:
            list(arrays.read(path))
        return str(refused.value)

    path = tmp_path / "a.npy"
    np.save(path, np.array([[{}]]), allow_pickle=True)
    assert reason(path) == "it holds no numbers [y, x] or [slice, y, x], row by row"
    np.save(path, np.zeros((2, 2, 2, 2)))
    assert reason(path) == "it holds no numbers [y, x] or [slice, y, x], row by row"
    np.save(path, np.asfortranarray(np.zeros((3, 2))))
    assert reason(path) == "it holds no numbers [y, x] or [slice, y, x], row by row"
    np.save(path, np.zeros((4, 5, 6)))
    path.write_bytes(path.read_bytes()[:-1])
    assert reason(path) == "it is cut off: it declares 960 bytes, and has 959"
    path.write_bytes(b"\x93NUMPY\x01\x00")
    assert reason(path)
    path.write_bytes(b"PK\x03\x04")
    assert reason(path)


def knee(folder: Path, about: str, series: str, sagittal: bool = True) -> list[np.ndarray]:
    """Three slices as OAI names them, the last first."""
    folder.mkdir(parents=True)
    slices = [RNG.integers(0, 900, (6, 7)).astype(np.uint16) for _ in range(3)]
    for place, pixels in enumerate(slices):
        dicom(
            folder / f"{3 - place:03d}",
            pixels,
            SOPClassUID=MRImageStorage,
            PatientID=folder.parts[-3],
            SeriesDescription=about,
            SeriesInstanceUID=series,
            SOPInstanceUID=f"{series}.{place}",
            PixelSpacing=[0.36, 0.46],
            ImageOrientationPatient=[0, 1, 0, 0, 0, -1] if sagittal else [1, 0, 0, 0, 0, -1],
            ImagePositionPatient=[3.0 * place, -60, 70] if sagittal else [-60, 3.0 * place, 70],
            SliceThickness=3.0,
        )
    return slices


def test_oai(made: Callable, tmp_path: Path):
    person = tmp_path / "00m" / "0.E.1" / "9000099" / "20050802"
    sagittal = knee(person / "10263603", "SAG_IW_TSE_RIGHT", "1.2.1")
    knee(person / "10263604", "COR_IW_TSE_RIGHT", "1.2.2", sagittal=False)
    knee(person / "10263605", "SAG_3D_DESS_LEFT", "1.2.3")
    knee(person / "10263606", "AX_LOCALIZER_LEFT", "1.2.4")
    knee(tmp_path / "12m" / "1.E.1" / "9000099" / "20060801" / "11", "SAG_IW_TSE_RIGHT", "1.2.5")
    knee(tmp_path / "96m" / "10.C.2" / "9000103" / "20130801" / "13", "COR_IW_TSE_LEFT", "1.2.7")
    knee(tmp_path / "00m" / "0.E.1" / "9000798" / "20050802" / "12", "PA KNEE", "1.2.6")
    found = made(set_of("oai"), tmp_path)
    assert list(found) == ["9000099", "9000103"]
    by_study = {}
    for record in found["9000099"]:
        by_study.setdefault(record.study, []).append(record)
    assert sorted(sorted({r.view for r in own}) for own in by_study.values()) == [
        ["coronal", "sagittal"], ["sagittal"], ["sagittal_dess"],
    ]  # fmt: skip
    (first,) = [own for own in by_study.values() if len(own) == 6]
    stack = sorted((r for r in first if r.view == "sagittal"), key=lambda r: r.plane.origin[0])
    for place, record in enumerate(stack):
        np.testing.assert_array_equal(record.image[..., 0], sagittal[place])
        np.testing.assert_allclose(record.plane.origin, (3.0 * place, -60, 70))
        np.testing.assert_allclose(record.plane.spacing, (0.36, 0.46))
        assert record.labels == {"side": "right", "sequence": "SAG_IW_TSE"}
        assert record.mask is None


def test_mrnet_counts_slices_along_the_file_and_knows_no_size(made: Callable, tmp_path: Path):
    (tmp_path / "train" / "axial").mkdir(parents=True)
    stack = RNG.integers(0, 256, (3, 4, 5)).astype(np.uint8)
    np.save(tmp_path / "train" / "axial" / "0001.npy", stack)
    (records,) = made(set_of("mrnet"), tmp_path).values()
    assert [(r.view, r.slice, r.slices, r.ordered) for r in records] == [("axial", z, 3, True) for z in range(3)]
    np.testing.assert_array_equal([r.image[..., 0] for r in records], stack)
    assert all(np.isnan(r.plane.spacing).all() and np.isnan(r.plane.origin).all() for r in records)
    assert [record.position for record in records] == [0.0, 0.5, 1.0]
