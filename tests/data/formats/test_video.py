"""Clips that are written by PyAV are read back, and what is no clip says why."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from scanner import write_video

from jaxssl.data.formats import Unreadable, is_image, read

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (4, 20, 24)).astype(np.uint8)
SMOOTH = (np.add.outer(np.arange(32) * 3, np.arange(48) * 2) + np.arange(4)[:, None, None] * 15).astype(np.uint8)


def test_grey_stays_grey_to_the_bit_and_says_its_time(tmp_path):
    found = list(read(write_video(tmp_path / "a.avi", GREY, "rawvideo", "gray", rate=20)))
    for n, (image, wanted) in enumerate(zip(found, GREY, strict=True)):
        np.testing.assert_array_equal(image.pixels, wanted[..., None])
        assert (image.slice, image.frame, image.spacing, image.plane) == (0, n, None, None)
        assert image.time == pytest.approx(50.0 * n)


@pytest.mark.parametrize(("name", "codec", "kind"), [("a.mp4", "mpeg4", "yuv420p"), ("a.avi", "mjpeg", "yuvj420p")])
def test_compressed_frames_keep_their_order(name, codec, kind, tmp_path):
    found = list(read(write_video(tmp_path / name, np.repeat(SMOOTH[..., None], 3, -1), codec, kind)))
    for n, (image, wanted) in enumerate(zip(found, SMOOTH, strict=True)):
        assert image.pixels.shape == (32, 48, 3)
        np.testing.assert_allclose(image.pixels.mean(axis=-1), wanted, atol=14)
        assert abs(image.pixels.mean() - wanted.mean()) < 3, "the next frame is brighter by 15"
        assert image.time == pytest.approx(40.0 * n)


def written_deep(path: Path, frame: av.VideoFrame) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = frame.height, frame.width, frame.format.name
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_more_than_8_bits_of_grey_are_kept(bits, tmp_path):
    """Spread over 16: whole numbers that differ stay different."""
    deep = RNG.permutation(2**bits)[: 20 * 32].reshape(20, 32).astype(np.uint16)
    frame = av.VideoFrame(32, 20, f"gray{bits}le")
    assert frame.planes[0].line_size == 64
    frame.planes[0].update(deep.tobytes())
    (image,) = read(written_deep(tmp_path / "a.avi", frame))
    assert (image.pixels.dtype, image.pixels.shape) == (np.uint16, (20, 32, 1))
    np.testing.assert_array_equal(image.pixels[..., 0] >> (16 - bits), deep)


def test_more_than_8_bits_of_colours_are_kept(tmp_path):
    deep = RNG.integers(0, 2**16, (20, 32, 3)).astype(np.uint16)
    shown = av.VideoFrame.from_ndarray(deep, format="rgb48le").reformat(format="gbrp16le")
    (image,) = read(written_deep(tmp_path / "a.avi", shown))
    np.testing.assert_array_equal(image.pixels, deep)


def test_a_clip_that_is_called_otherwise_or_is_none(tmp_path):
    write_video(tmp_path / "a.avi", GREY, "rawvideo", "gray")
    (tmp_path / "a.avi").rename(tmp_path / "b.mp4")
    assert len(list(read(tmp_path / "b.mp4"))) == 4
    playlist = tmp_path / "c.mp4"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nb.mp4\n")
    assert is_image(playlist)
    with pytest.raises(Unreadable, match="no AVI or MP4"):
        list(read(playlist))


def test_without_its_package_a_clip_says_what_to_install(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.avi", GREY, "rawvideo", "gray")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Unreadable, match=r"pip install 'jaxssl\[video\]'") as caught:
        list(read(path))
    assert caught.value.passing
