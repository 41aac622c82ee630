"""Files on a layout in units of their subject: as a store of the same images would be."""

from pathlib import Path

import numpy as np
import pytest
import samples
from scans import dicom, nifti

from jaxssl.data.cache import open_cache
from jaxssl.data.formats import Image, header
from jaxssl.data.formats.prepare import prepared, subjects
from jaxssl.data.grid import Layout
from jaxssl.data.store import write

RNG = np.random.default_rng(0)
ANY = RNG.integers(0, 200, (5, 7)).astype(np.int16)
FRAMES = RNG.integers(0, 4096, (3, 5, 7)).astype(np.uint16)


def alone(path: Path, layout: Layout) -> list[Image]:
    """What is prepared of a file that is a subject by itself."""
    return [image for _, image in prepared([path], layout, 1, lambda path, error: pytest.fail(str(error)))]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_file_is_prepared_as_its_store_would_be(dtype, tmp_path):
    """The images of a subject in one file give what training sees of them: resampled, rounded, standardised."""
    records = [r for r in samples.records(subjects=2, slices=3, phases=1, dtype=dtype) if r.view == "sax"]
    store = write(records, tmp_path / "store", name="discs", description="Random (synthetic).", licence="none")
    layout = Layout((24, 20), 2.0)
    cache = open_cache(store, layout)
    for subject in (0, 1):
        own = records[3 * subject : 3 * subject + 3]
        volume = np.stack([record.image[..., 0].T for record in own], axis=-1)
        path = nifti(tmp_path / f"{subject}.nii.gz", volume, spacing=(1.5, 1.5, 8.0))
        for each in alone(path, layout):
            row = 3 * subject + each.slice
            wanted = (cache.images[row].astype(np.float64) - cache.table["mean"][row]) / cache.table["std"][row]
            np.testing.assert_allclose(each.pixels, wanted, rtol=1e-5, atol=1e-5)


def test_outside_an_image_is_its_air_where_values_go_below_zero(tmp_path):
    small = np.full((4, 4), -1000.0)
    small[1:3, 1:3] = 200
    (found,) = alone(nifti(tmp_path / "a.nii", small, spacing=(1.0, 1.0)), Layout((8, 8), 1.0))
    assert found.pixels[0, 0, 0] == found.pixels[2, 2, 0] == found.pixels.min()
    np.testing.assert_allclose(found.pixels[2:6, 2:6].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(found.pixels[2:6, 2:6].std(), 1, atol=1e-6)


def test_an_image_of_one_value_stays_finite(tmp_path):
    (found,) = alone(nifti(tmp_path / "a.nii", np.full((9, 9), 0.1)), Layout((9, 9), None))
    np.testing.assert_allclose(found.pixels, 0, atol=1e-6)


def test_contrast_far_from_zero_is_not_lost(tmp_path):
    near, far = ANY / 1e3, ANY / 1e3 + 1e6
    images = [alone(nifti(tmp_path / "a.nii", array), Layout((7, 5), None))[0] for array in (near, far)]
    np.testing.assert_allclose(images[0].pixels, images[1].pixels, atol=1e-5)


def test_files_of_a_series_are_a_subject_and_any_other_by_itself(tmp_path):
    for name, uid in {"a": "1.2", "b": "1.3", "c.dcm": "1.2", "d": ""}.items():
        dicom(tmp_path / name, FRAMES[0], SeriesInstanceUID=uid)
    dicom(tmp_path / "e.dcm", FRAMES)
    (tmp_path / "f.dcm").write_bytes(b"")
    nifti(tmp_path / "g.nii", ANY)
    files = [*sorted(tmp_path.iterdir()), tmp_path / "gone.dcm"]
    known = [header(path) for path in files]
    assert [each and each.series for each in known] == ["1.2", "1.3", "1.2", "", "", None, None, None]
    grouped = [[path.name for path in group] for group in subjects(files)]
    assert grouped == [["a", "c.dcm"], ["b"], ["d"], ["e.dcm"], ["f.dcm"], ["g.nii"], ["gone.dcm"]]


def test_a_series_is_prepared_as_one_file_with_its_frames(tmp_path):
    """Also where only one of its images goes below zero; a damaged file is told and has no part in the others."""
    tags = [{}, {"RescaleSlope": 2, "RescaleIntercept": -1024}, {"RescaleSlope": 0.5, "RescaleIntercept": 3}]
    files = [
        dicom(tmp_path / f"{n}.dcm", frame, SeriesInstanceUID="1.2", PixelSpacing=[0.75, 0.5], **tags[n])
        for n, frame in enumerate(FRAMES)
    ]
    content = dicom(tmp_path / "a.dcm", FRAMES[0] * 16, SeriesInstanceUID="1.2").read_bytes()
    (tmp_path / "a.dcm").write_bytes(content[:-9])
    values = np.stack([FRAMES[0], FRAMES[1] * 2.0 - 1024, FRAMES[2] * 0.5 + 3])
    layout = Layout((8, 8), 1.0)
    volume = alone(nifti(tmp_path / "a.nii", values.T, spacing=(0.5, 0.75, 1.0)), layout)
    skipped = []
    found = list(prepared([tmp_path / "a.dcm", *files], layout, 1, lambda path, _: skipped.append(path.name)))
    assert skipped == ["a.dcm"]
    assert [path for path, _ in found] == files
    for (_, image), wanted in zip(found, volume, strict=True):
        np.testing.assert_allclose(image.pixels, wanted.pixels, rtol=1e-6, atol=1e-6)


def test_pixels_too_far_apart_to_be_scaled_are_told(tmp_path):
    path = nifti(tmp_path / "a.nii", np.array([[1e200, -1e200], [0.0, 1.0]]))
    said = []
    assert not list(prepared([path], Layout((2, 2), None), 1, lambda _, error: said.append(str(error))))
    assert said == ["its pixels differ by more than can be counted"]
