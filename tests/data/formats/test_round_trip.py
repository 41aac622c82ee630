"""What a scanner would write of the phantom is read back: pixels to the bit, geometry to 1e-4 mm, time and order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import samples
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from scanner import SECRETS, trigger_time, write_clip, write_dicom_series, write_enhanced, write_nifti

from jaxssl.data.formats import Image, header, read
from jaxssl.data.phantom import CineOptions, cine_subject
from jaxssl.data.record import Record
from jaxssl.geometry import points

COMPRESSED = [RLELossless, JPEGLSLossless, JPEG2000Lossless]
UNCOMPRESSED = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
ANY = next(samples.records(1, 1, 1))


@pytest.fixture(scope="module")
def study() -> list[Record]:
    """A stack of three slices and three long-axis views, two phases each; 16 bits."""
    return cine_subject(CineOptions(subjects=1, phases=2, slices=3, seed=5), 0)


@pytest.fixture(scope="module")
def stack(study: list[Record]) -> list[Record]:
    return [record for record in study if record.view == "sax"]


def assert_is(image: Image, record: Record) -> None:
    """The same pixels, type and all, at the same place and time."""
    assert image.pixels.dtype == record.image.dtype
    np.testing.assert_array_equal(image.pixels, record.image)
    assert image.plane is not None
    np.testing.assert_allclose(points(image.plane), points(record.plane), atol=1e-4)
    assert image.spacing == pytest.approx(tuple(record.plane.spacing), abs=1e-6)
    assert image.time == pytest.approx(trigger_time(record), abs=1e-3)


def written_as(path: Path, syntax: str) -> Path:
    """The same uncompressed file in another syntax."""
    data = pydicom.dcmread(path)
    pixels = data.pixel_array
    data.PixelData = pixels.astype(pixels.dtype.newbyteorder("<>"[syntax == ExplicitVRBigEndian])).tobytes()
    data.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        rewritten = Dataset()
        rewritten.update(data)
        rewritten.file_meta = data.file_meta
        data = rewritten
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", UNCOMPRESSED + COMPRESSED, ids=lambda syntax: syntax.name)
def test_a_series_of_single_frames(syntax, study, tmp_path):
    plain = ExplicitVRLittleEndian if syntax in UNCOMPRESSED else syntax
    paths = write_dicom_series(study[::3], tmp_path, syntax=plain)
    for path, record in zip(paths, study[::3], strict=True):
        if syntax in UNCOMPRESSED:
            written_as(path, syntax)
        (image,) = read(path)
        assert_is(image, record)
        assert image.thickness == record.thickness
        assert record.view.upper() in image.about
        assert not image.ultrasound


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *COMPRESSED], ids=lambda syntax: syntax.name)
def test_an_enhanced_file_whose_frames_lie_anyhow(syntax, stack, tmp_path):
    shuffled = [stack[n] for n in (4, 1, 0, 5, 3, 2)]
    found = list(read(write_enhanced(shuffled, tmp_path / "a.dcm", syntax=syntax)))
    for image, record in zip(found, shuffled, strict=True):
        assert_is(image, record)
        assert (image.slice, image.frame, image.thickness) == (record.slice, record.phase, record.thickness)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *COMPRESSED], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_clip(channels, syntax, tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 40, 50, channels)).astype(np.uint8)
    plane = replace(ANY.plane, spacing=np.array([0.31, 0.27]))
    records = [replace(ANY, image=each, mask=None, plane=plane, phase=n, phases=3) for n, each in enumerate(pixels)]
    found = list(read(write_clip(records, tmp_path / "a.dcm", syntax=syntax)))
    for n, (image, wanted) in enumerate(zip(found, pixels, strict=True)):
        np.testing.assert_array_equal(image.pixels, wanted)
        assert image.spacing == pytest.approx((0.31, 0.27))
        assert (image.slice, image.frame, image.time) == (0, n, 40.0 * n)
        assert image.ultrasound
        assert image.echoes == ((0, 0, 40, 50),)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless], ids=lambda syntax: syntax.name)
def test_signed_pixels_in_12_of_16_bits(syntax, tmp_path):
    """pydicom writes the sign of JPEG-LS and JPEG 2000 into arrays that some decoders give to be read only."""
    stored = np.random.default_rng(1).integers(-2048, 2048, (64, 64, 1)).astype(np.int16)
    (path,) = write_dicom_series([replace(ANY, image=stored.view(np.uint16), mask=None)], tmp_path)
    data = pydicom.dcmread(path)
    data.BitsStored, data.HighBit, data.PixelRepresentation, data.RescaleSlope, data.RescaleIntercept = 12, 11, 1, 1, 0
    data.compress(syntax, generate_instance_uid=False)
    data.save_as(path)
    (image,) = read(path)
    np.testing.assert_array_equal(image.pixels, stored)


def test_nearly_lossless_stays_within_its_error(tmp_path):
    (path,) = write_dicom_series([ANY], tmp_path)
    data = pydicom.dcmread(path)
    data.compress(JPEGLSNearLossless, jls_error=2, generate_instance_uid=False)
    data.save_as(path)
    (image,) = read(path)
    error = np.abs(image.pixels.astype(int) - ANY.image)
    assert 0 < error.max() <= 2


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize("form", ["sform", "qform"])
def test_a_nifti(form, ending, stack, tmp_path):
    found = {
        (image.slice, image.frame): image for image in read(write_nifti(stack, tmp_path / f"a.{ending}", form=form))
    }
    assert len(found) == len(stack)
    gap = np.linalg.norm(stack[2].plane.origin - stack[0].plane.origin)
    for record in stack:
        image = found[record.slice, record.phase]
        assert_is(image, record)
        assert image.thickness == pytest.approx(gap, abs=1e-4)


def test_headers_sort_files_and_hold_what_must_not_be_stored(study, tmp_path):
    paths = write_dicom_series(study, tmp_path)
    known = [header(path) for path in paths]
    assert [each.number for each in known] == list(range(1, len(study) + 1))
    assert len({each.series for each in known}) == len({record.view for record in study})
    assert {each.patient for each in known} == {f"HUSHID-{study[0].subject}"}
    assert known[0].about == "cine_trufi_SAX"
    content = paths[0].read_bytes()
    assert all(secret.encode() in content for secret in SECRETS), "what tests look for elsewhere is really there"
    assert header(write_nifti(study[:6], tmp_path / "a.nii")) is None
