"""Files that are damaged, made to deceive, or no images: each says why it is not read, soon, without much memory."""

import contextlib
import gzip
import io
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from pydicom import data as shipped
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from scanner import write_clip, write_dicom_series, write_enhanced, write_nifti, write_video

from jaxssl.data.formats import Unreadable, header, read
from jaxssl.data.formats.dicom import apart
from jaxssl.data.formats.dicom.compressed import jpeg2000_size, jpeg_size

GREY = np.random.default_rng(0).integers(0, 256, (4, 20, 24)).astype(np.uint8)
SLOW = 10.0
"""Seconds that no file may take."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Path]:
    """A good file of each kind, of two slices and two phases."""
    folder = tmp_path_factory.mktemp("whole")
    stack = [record for record in samples.records(1, 2, 2) if record.view == "sax"]
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 1)).astype(np.uint8)
    large = [replace(stack[0], image=noise, mask=None, plane=samples.plane(64, 64))]
    files = {
        "plain": write_dicom_series(stack[:1], folder / "series")[0],
        "rle": write_clip(stack, folder / "rle.dcm", syntax=RLELossless),
        "jpeg-ls": write_clip(stack, folder / "jpegls.dcm", syntax=JPEGLSLossless),
        "jpeg2000": write_clip(large, folder / "jpeg2000.dcm", syntax=JPEG2000Lossless),
        "enhanced": write_enhanced(stack, folder / "enhanced.dcm"),
        "nifti": write_nifti(stack, folder / "a.nii"),
        "nifti, packed": write_nifti(stack, folder / "a.nii.gz"),
        "avi": write_video(folder / "a.avi", GREY, "mjpeg", "yuvj420p"),
        "avi, plain": write_video(folder / "b.avi", GREY, "rawvideo", "gray"),
        "mp4": write_video(folder / "a.mp4", GREY, "mpeg4", "yuv420p"),
    }
    frames = [Picture.fromarray(frame) for frame in GREY]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    files["gif"] = folder / "a.gif"
    files["jpeg"] = encapsulated(files["plain"], folder / "jpeg.dcm", jpeg(GREY[0]), JPEGBaseline8Bit)
    data = pydicom.dcmread(files["plain"])
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    files["deflated"] = folder / "deflated.dcm"
    data.save_as(files["deflated"])
    return files


def jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Picture.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def encapsulated(source: Path, path: Path, stream: bytes, syntax: str) -> Path:
    """The same file with another frame, compressed."""
    data = pydicom.dcmread(source)
    data.PixelData = encapsulate([stream])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path)
    return path


def refused(path: Path) -> str:
    """Why a file is not read; soon."""
    start = time.monotonic()
    with pytest.raises(Unreadable) as caught:
        list(read(path))
    assert time.monotonic() - start < SLOW
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_files_are_good_before_they_are_damaged(whole):
    assert {name: len(list(read(path))) > 0 for name, path in whole.items()} == dict.fromkeys(whole, True)


def damaged(data: st.DataObject, content: bytes) -> bytes:
    """A few bytes changed anywhere, the first ones more often, and perhaps the end cut off."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        reach = data.draw(st.sampled_from([len(changed), min(len(changed), 600)]))
        changed[data.draw(st.integers(0, reach - 1))] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
    return bytes(changed[: data.draw(st.sampled_from([len(changed), data.draw(st.integers(1, len(changed)))]))])


OURS = ["plain", "rle", "enhanced", "nifti", "nifti, packed", "avi", "avi, plain", "mp4", "gif", "jpeg", "deflated"]
APART = ["jpeg-ls", "jpeg2000"]
"""Decoded in a process of their own, which damage may end: a new one takes a second to start."""


@pytest.mark.parametrize(("names", "examples"), [(OURS, 150), (APART, 12)], ids=["ours", "apart"])
def test_damage_anywhere_is_told_in_time(names, examples, whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")

    @settings(max_examples=examples, deadline=SLOW * 1000, derandomize=True)
    @given(st.data())
    def check(data):
        source = whole[data.draw(st.sampled_from(names))]
        packed, content = source.suffix == ".gz", source.read_bytes()
        content = damaged(data, gzip.decompress(content) if packed else content)
        path = folder / source.name
        path.write_bytes(gzip.compress(content, 1) if packed else content)
        header(path)
        with contextlib.suppress(Unreadable):
            for image in read(path):
                assert image.pixels.ndim == 3
                assert np.isfinite(image.pixels).all()

    check()


def test_every_file_that_pydicom_ships_is_read_or_says_why():
    """Those in its wheel; others it would fetch from the network."""
    folder = Path(shipped.__file__).parent
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    reasons, read_back = {}, {}
    for path in files:
        start, known = time.monotonic(), header(path)
        try:
            read_back[path.name] = list(read(path))
        except Unreadable as error:
            reasons[path.name] = str(error)
        else:
            assert known is not None
        assert time.monotonic() - start < SLOW
    assert len(files) > 150
    assert len(read_back) > 90
    assert all(reasons.values())
    assert all("image" in reasons[name] for name in ("DICOMDIR", "waveform_ecg.dcm", "test-SR.dcm", "rtplan.dcm"))
    assert reasons["MR_truncated.dcm"].startswith("it is cut off")
    # Two files of one image, and what pydicom's own documentation says of its pixels.
    plain = read_back["MR_small.dcm"][0].pixels
    for same in ("RLE", "jp2klossless", "jpeg_ls_lossless", "expb"):
        np.testing.assert_array_equal(read_back[f"MR_small_{same}.dcm"][0].pixels, plain)
    assert (read_back["J2K_pixelrep_mismatch.dcm"][0].pixels.min(), plain.shape) == (-2000, (64, 64, 1))


def test_lossless_jpeg_is_read_where_its_decoder_is():
    """One that pydicom ships in this compression, and in another."""
    folder = Path(shipped.__file__).parent / "test_files"
    (image,) = read(folder / "SC_rgb_jpeg_gdcm.dcm")
    (plain,) = read(folder / "SC_rgb_rle.dcm")
    assert pydicom.dcmread(folder / "SC_rgb_jpeg_gdcm.dcm").file_meta.TransferSyntaxUID == JPEGLosslessSV1
    np.testing.assert_array_equal(image.pixels, plain.pixels)


def test_a_compression_without_a_decoder_says_what_to_install(whole, monkeypatch):
    from pydicom.pixels.decoders import JPEGLSLosslessDecoder

    monkeypatch.setattr(JPEGLSLosslessDecoder, "_available", {})
    reason = refused(whole["jpeg-ls"])
    assert reason.startswith("it is compressed as JPEG-LS Lossless")
    assert reason.endswith("pip install 'jaxssl[dicom]'")


def test_a_decoder_that_ends_or_hangs_is_replaced(whole, monkeypatch):
    list(read(whole["jpeg-ls"]))
    first = apart.IDLE[-1]
    first.kill()
    first.wait()
    assert len(list(read(whole["jpeg-ls"]))) == 4
    assert apart.IDLE[-1].pid != first.pid
    # One that is at work is ended by whoever has no patience.
    monkeypatch.setattr(apart, "PATIENCE", 0.0)
    apart.stop_all()
    assert "damaged" in refused(whole["jpeg-ls"])
    assert not apart.IDLE
    monkeypatch.undo()
    assert len(list(read(whole["jpeg-ls"]))) == 4


def test_two_files_may_be_read_at_once(whole):
    pairs = zip(read(whole["jpeg-ls"]), read(whole["jpeg-ls"]), strict=True)
    assert [np.array_equal(one.pixels, other.pixels) for one, other in pairs] == [True] * 4


def test_streams_that_are_larger_than_declared_are_not_decoded(whole, tmp_path):
    wide = bytearray(jpeg(GREY[0]))
    place = wide.index(b"\xff\xc0")
    assert jpeg_size(bytes(wide)) == (20, 24)
    wide[place + 5 : place + 9] = b"\xff\xff\xff\xff"
    assert jpeg_size(bytes(wide)) == (65535, 65535)
    path = encapsulated(whole["plain"], tmp_path / "a.dcm", bytes(wide), JPEGBaseline8Bit)
    assert refused(path) == "it declares images of 20x24 pixels, and has 65535x65535"
    stream = pydicom.dcmread(whole["jpeg2000"]).PixelData
    assert jpeg2000_size(stream) == (64, 64)
    assert jpeg_size(b"\xff\xd8\xff\xe0\0\0") is None
    assert jpeg2000_size(b"\xff\x4f\xff\x51") is None


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"NumberOfFrames": 2**31 - 1}, "it is cut off"),
        ({"Rows": 65535, "Columns": 65535}, "it declares images of 65535x65535 pixels"),
        ({"Rows": 60000, "Columns": 1000}, "it is cut off"),
        ({"Rows": None}, "Rows"),
        ({"BitsAllocated": None}, "BitsAllocated"),
        ({"PhotometricInterpretation": None}, "Photometric"),
        ({"SamplesPerPixel": None}, "Samples"),
    ],
)
def test_tags_that_cannot_be_or_are_missing(tags, reason, tmp_path):
    path = write_dicom_series(list(samples.records(1, 1, 1))[:1], tmp_path, **tags)[0]
    assert reason in refused(path) or "without an image" in refused(path)


def test_frames_that_are_missing_are_missed(whole, tmp_path):
    path = encapsulated(whole["plain"], tmp_path / "a.dcm", jpeg(GREY[0]), JPEGBaseline8Bit)
    data = pydicom.dcmread(path)
    data.NumberOfFrames, data.PixelData = 3, encapsulate([jpeg(GREY[0]), jpeg(GREY[1])], has_bot=True)
    data.save_as(path)
    assert refused(path)


def test_files_that_unpack_to_much_more_are_not_unpacked(whole, tmp_path):
    declared = nibabel.Nifti1Header()
    declared.set_data_shape((512, 512, 4000, 9))
    declared["magic"], declared["vox_offset"] = b"n+1", 352
    bomb = tmp_path / "a.nii.gz"
    bomb.write_bytes(gzip.compress(declared.binaryblock + b"\0" * 2**24))
    assert "it declares 37748736352 bytes" in refused(bomb)

    content = whole["deflated"].read_bytes()
    start = content.index(zlib_start(whole["deflated"]))
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    (tmp_path / "b.dcm").write_bytes(content[:start])
    with (tmp_path / "b.dcm").open("ab") as file:
        for _ in range(300):
            file.write(squeeze.compress(b"\0" * 2**20))
        file.write(squeeze.flush())
    assert "unpacks to more than" in refused(tmp_path / "b.dcm")


def zlib_start(path: Path) -> bytes:
    """What follows the part of a deflated file that is not packed."""
    with path.open("rb") as file:
        pydicom.filereader.read_preamble(file, False)
        pydicom.filereader._read_file_meta_info(file)
        return file.read(32)


def test_much_is_declared_and_little_is_taken(tmp_path):
    """A process of its own, since the memory of this one is not free of others."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((8000, 8000, 30000))
    header["magic"], header["vox_offset"] = b"n+1", 352
    (tmp_path / "a.nii").write_bytes(header.binaryblock + b"\0" * 2**16)
    write_dicom_series(list(samples.records(1, 1, 1))[:1], tmp_path / "b", Rows=8000, Columns=8000, NumberOfFrames=9999)
    code = """
import resource, sys
from pathlib import Path
from jaxssl.data.formats import Unreadable, read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(Path, sys.argv[1:]):
    try:
        list(read(path))
    except Unreadable as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    paths = [tmp_path / "a.nii", *(tmp_path / "b").iterdir()]
    told = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True, timeout=60)
    *reasons, grown = told.stdout.splitlines()
    assert [reason.startswith("it is cut off") for reason in reasons] == [True, True]
    assert int(grown) < 150_000, "kB"


def test_a_folder_and_a_broken_link_say_so(tmp_path):
    (tmp_path / "a.dcm").mkdir()
    assert "directory" in refused(tmp_path / "a.dcm")
    (tmp_path / "b.nii").symlink_to(tmp_path / "gone.nii")
    assert "No such file" in refused(tmp_path / "b.nii")
