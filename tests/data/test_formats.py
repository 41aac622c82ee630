"""Files from scanners and cameras: what is written is read back, and what is broken says why."""

import contextlib
import gzip
import os
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from scans import dicom, nifti

from jaxssl.data.formats import Unreadable, is_image, read
from jaxssl.data.formats.find import find
from jaxssl.data.formats.image import with_channels

RNG = np.random.default_rng(0)
ANY = RNG.integers(0, 200, (5, 7, 3, 2)).astype(np.int16)
"""x, y, slice, frame: no two axes alike."""


def item(**tags) -> list[Dataset]:
    """A sequence of one."""
    data = Dataset()
    data.update(tags)
    return [data]


def assert_same(pixels: np.ndarray, wanted: np.ndarray) -> None:
    """Equal to the bit, type and all."""
    assert pixels.dtype == wanted.dtype
    np.testing.assert_array_equal(pixels, wanted)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize("axes", [2, 3, 4])
def test_slices_of_a_nifti_are_transposed_and_come_frame_by_frame(axes, ending, tmp_path):
    array = ANY[(...,) + (0,) * (4 - axes)]
    found = list(read(nifti(tmp_path / f"a.{ending}", array)))
    slices, frames = (*array.shape, 1, 1)[2:4]
    assert [(each.frame, each.slice) for each in found] == [(t, z) for t in range(frames) for z in range(slices)]
    for each in found:
        assert_same(each.pixels, ANY[:, :, each.slice, each.frame].T[..., None])
        assert each.spacing == pytest.approx((0.75, 0.5))


def test_a_nifti_says_its_unit_and_its_scale(tmp_path):
    in_metres = nifti(tmp_path / "metres.nii", ANY, spacing=(5e-4, 7.5e-4, 8e-3, 0.03), unit="meter")
    assert next(read(in_metres)).spacing == pytest.approx((0.75, 0.5))
    scaled = nibabel.Nifti1Image(ANY[..., 0], np.eye(4))
    scaled.header.set_slope_inter(0.5, -10)
    (tmp_path / "scaled.nii").write_bytes(_raw(scaled, ANY[..., 0]))
    for each, wanted in zip(read(tmp_path / "scaled.nii"), np.moveaxis(ANY[..., 0], 2, 0), strict=True):
        np.testing.assert_allclose(each.pixels[..., 0], wanted.T * 0.5 - 10)


def _raw(image: nibabel.Nifti1Image, stored: np.ndarray) -> bytes:
    """A file that keeps the slope of its header, which nibabel would choose anew."""
    header = image.header.copy()
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 0.5, -10, 352
    return header.binaryblock + b"\0\0\0\0" + stored.tobytes(order="F")


def test_colours_of_a_nifti_become_channels(tmp_path):
    colours = RNG.integers(0, 255, (4, 6, 2, 3)).astype(np.uint8)
    array = np.ascontiguousarray(colours).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    for each, wanted in zip(read(tmp_path / "a.nii.gz"), np.moveaxis(colours, 2, 0), strict=True):
        assert_same(each.pixels, wanted.swapaxes(0, 1))


GREY, DEEP = (RNG.integers(0, top, (5, 7)).astype(kind) for top, kind in ((256, np.uint8), (65536, np.uint16)))
RGB = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "wanted"),
    [
        (Picture.fromarray(GREY), GREY[..., None]),
        (Picture.fromarray(DEEP), DEEP[..., None]),
        (Picture.fromarray(RGB), RGB),
        (Picture.merge("LA", [Picture.fromarray(GREY), Picture.fromarray(GREY // 2)]), GREY[..., None]),
        (Picture.merge("RGBA", [*Picture.fromarray(RGB).split(), Picture.fromarray(GREY)]), RGB),
        (Picture.fromarray(GREY // 128 * 255).convert("1"), (GREY // 128 * 255)[..., None]),
        (Picture.fromarray(GREY // 64 * 64).convert("P"), np.repeat((GREY // 64 * 64)[..., None], 3, -1)),
    ],
    ids=["grey", "16 bits", "colour", "grey, alpha", "colour, alpha", "one bit", "palette"],
)
def test_a_png_keeps_its_depth_and_loses_its_transparency(picture, wanted, tmp_path):
    picture.save(tmp_path / "a.PNG", format="PNG")
    (found,) = read(tmp_path / "a.PNG")
    assert_same(found.pixels, wanted)
    assert (found.spacing, found.slice, found.frame) == (None, 0, 0)


def test_a_jpeg_is_turned_as_its_camera_was(tmp_path):
    smooth = np.add.outer(np.arange(16) * 8, np.arange(24) * 4).astype(np.uint8)
    turned = Picture.Exif()
    turned[0x0112] = 6  # a quarter turn clockwise brings it upright
    Picture.fromarray(smooth).save(tmp_path / "a.jpeg", quality=95, exif=turned)
    (found,) = read(tmp_path / "a.jpeg")
    np.testing.assert_allclose(found.pixels[..., 0].astype(int), np.rot90(smooth, -1), atol=4)


def test_luma_of_grey_is_that_grey_and_that_of_colours_is_known():
    assert with_channels(np.repeat(GREY[..., None], 3, -1), 1).tolist() == GREY[..., None].tolist()
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert with_channels(primaries, 1).ravel().tolist() == [76, 150, 29]
    assert (with_channels(GREY[..., None], 3) == GREY[..., None]).all()
    with pytest.raises(Unreadable, match="2 channels where 1"):
        with_channels(np.zeros((2, 2, 2)), 1)


FRAMES = RNG.integers(0, 4096, (3, 5, 7)).astype(np.uint16)


@pytest.mark.parametrize("name", ["a.dcm", "I0001"])
def test_frames_of_a_dicom_keep_their_order_whatever_the_file_is_called(name, tmp_path):
    path = dicom(tmp_path / name, FRAMES, PixelSpacing=[0.75, 0.5])
    found = list(read(path))
    assert [(each.slice, each.frame, each.spacing) for each in found] == [(0, n, (0.75, 0.5)) for n in range(3)]
    for each, wanted in zip(found, FRAMES, strict=True):
        assert_same(each.pixels, wanted[..., None])


@pytest.mark.parametrize(
    ("stored", "tags", "wanted"),
    [
        (FRAMES[0], {"photometric": "MONOCHROME1", "bits": 12}, 4095 - FRAMES[0]),
        (GREY.astype(np.int8), {"photometric": "MONOCHROME1"}, -1 - GREY.astype(np.int8)),
        (FRAMES[0], {"RescaleSlope": 2, "RescaleIntercept": -1024}, FRAMES[0] * 2.0 - 1024),
        (FRAMES[0], {"RescaleSlope": 1, "RescaleIntercept": 0}, FRAMES[0]),
        (FRAMES[0].astype(np.int16) - 2000, {}, FRAMES[0].astype(np.int16) - 2000),
    ],
    ids=["dark is high", "dark is high, signed", "scaled", "scaled by one", "signed"],
)
def test_values_of_a_dicom(stored, tags, wanted, tmp_path):
    (found,) = read(dicom(tmp_path / "a.dcm", stored, **tags))
    assert_same(found.pixels, wanted[..., None])


def test_colours_of_a_dicom_become_channels(tmp_path):
    assert_same(next(read(dicom(tmp_path / "a.dcm", RGB, "RGB"))).pixels, RGB)
    from_ybr = next(read(dicom(tmp_path / "b.dcm", np.asarray(Picture.fromarray(RGB).convert("YCbCr")), "YBR_FULL")))
    np.testing.assert_allclose(from_ybr.pixels.astype(int), RGB, atol=3)
    tables = {
        f"{colour}PaletteColorLookupTable{what}": value
        for place, colour in enumerate(("Red", "Green", "Blue"))
        for what, value in (("Descriptor", [256, 0, 8]), ("Data", bytes(range(256)) if place else bytes(256)))
    }
    palette = next(read(dicom(tmp_path / "c.dcm", GREY, "PALETTE COLOR", **tables))).pixels
    np.testing.assert_array_equal(palette, np.stack([np.zeros_like(GREY), GREY, GREY], -1))


def test_a_compressed_dicom_is_read_back(tmp_path):
    data = pydicom.dcmread(dicom(tmp_path / "a.dcm", FRAMES))
    data.compress(RLELossless)
    data.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    for each, wanted in zip(read(tmp_path / "b.dcm"), FRAMES, strict=True):
        assert_same(each.pixels, wanted[..., None])


def test_ultrasound_and_enhanced_files_say_their_spacing_elsewhere(tmp_path):
    region = item(
        RegionSpatialFormat=1,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.05,
        PhysicalDeltaY=-0.075,
    )
    waveform = item(RegionSpatialFormat=3, PhysicalUnitsXDirection=4, PhysicalUnitsYDirection=3)
    (clip, *_) = read(dicom(tmp_path / "a.dcm", FRAMES, SequenceOfUltrasoundRegions=waveform + region))
    assert clip.spacing == pytest.approx((0.75, 0.5))

    shared = item(PixelMeasuresSequence=item(PixelSpacing=[0.75, 0.5]))
    slopes = [
        item(PixelValueTransformationSequence=item(RescaleSlope=slope, RescaleIntercept=0))[0] for slope in (1, 2, 3)
    ]
    groups = {"SharedFunctionalGroupsSequence": shared, "PerFrameFunctionalGroupsSequence": slopes}
    for n, each in enumerate(read(dicom(tmp_path / "b.dcm", FRAMES, **groups))):
        assert each.spacing == (0.75, 0.5)
        np.testing.assert_array_equal(each.pixels[..., 0], FRAMES[n] * float(n + 1))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """A good file of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    noise = RNG.integers(0, 256, (40, 40)).astype(np.uint8)
    Picture.fromarray(noise).save(folder / "a.png")
    Picture.fromarray(noise).save(folder / "a.jpg")
    nifti(folder / "a.nii", ANY)
    nifti(folder / "a.nii.gz", ANY)
    dicom(folder / "a.dcm", FRAMES, PixelSpacing=[0.75, 0.5])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        list(read(path))
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.nii", "a.nii.gz", "a.dcm"])
def test_a_broken_file_says_why(name, whole, tmp_path, capfd):
    with warnings.catch_warnings(action="error"):
        assert refused(tmp_path / name, b"") == "it is empty"
        assert refused(tmp_path / name, whole[name][: len(whole[name]) * 2 // 3])
        assert "it is no" in refused(tmp_path / name, b"what was an image once, and is one no more " * 30)
        (tmp_path / name).unlink()
        with pytest.raises(Unreadable, match="No such file"):
            list(read(tmp_path / name))
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_what_cannot_be_embedded_says_why(tmp_path):
    hole = ANY.astype(np.float32)
    hole[2, 2, 1, 1] = np.nan
    with pytest.raises(Unreadable, match="not finite"):
        list(read(nifti(tmp_path / "hole.nii", hole)))
    with pytest.raises(Unreadable, match="complex"):
        list(read(nifti(tmp_path / "complex.nii", ANY.astype(np.complex64))))
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 1, 1, 3)), np.eye(4)), tmp_path / "vectors.nii")
    with pytest.raises(Unreadable, match="axes"):
        list(read(tmp_path / "vectors.nii"))
    header = nibabel.Nifti2Header()
    header.set_data_shape((2**20, 2**20, 2**40, 2**40))
    assert "1048576x1048576" in refused(tmp_path / "huge.nii", header.binaryblock + b"\0" * 100)
    header.set_data_shape((2, 2, 2**40, 2**40))
    assert refused(tmp_path / "long.nii", header.binaryblock + b"\0" * 100)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID, data.SOPClassUID, data.SOPInstanceUID = ExplicitVRLittleEndian, "1.2", "1.2.3"
    data.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    with pytest.raises(Unreadable, match="without an image"):
        list(read(tmp_path / "report.dcm"))


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_damage_anywhere_raises_nothing_else(whole, tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(whole)))
    content = bytearray(gzip.decompress(whole[name]) if name.endswith("gz") else whole[name])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(len(content), 700) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(1, len(content)))])
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with contextlib.suppress(Unreadable):
        for image in read(path):
            assert image.pixels.ndim == 3
            assert np.isfinite(image.pixels).all()


def test_a_folder_is_searched_whole_and_sorted_and_loops_end(tmp_path, whole):
    for place in ("b/a.png", "a.nii.gz", "c.JPG", "b/c/I1", "notes.txt", "b/gone.csv", "10/z.png", "9/z.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(whole["a.dcm"] if place.endswith("I1") else b"x")
    (tmp_path / "b" / "round").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "b")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    images, others = ([str(path.relative_to(tmp_path)) for path in paths] for paths in find(tmp_path))
    # A folder with two paths is entered by the first of them.
    assert images == ["10/z.png", "9/z.png", "a.nii.gz", "again/a.png", "again/c/I1", "c.JPG", "self.png"]
    assert others == ["again/gone.csv", "notes.txt"]
    assert find(tmp_path / "c.JPG") == ([tmp_path / "c.JPG"], [])
    with pytest.raises(Unreadable, match="symbolic links"):
        list(read(tmp_path / "self.png"))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert not is_image(tmp_path / "a.png")
