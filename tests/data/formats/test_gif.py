"""GIF is a clip: frames that Pillow wrote come back in their order, and one that is cut off is refused."""

import numpy as np
import pytest
from PIL import Image as Picture

from jaxssl.data import formats
from jaxssl.data.formats import Unreadable, image, is_image, read
from jaxssl.data.formats.image import with_channels

GREY = np.random.default_rng(0).integers(0, 256, (5, 20, 24)).astype(np.uint8)


@pytest.fixture
def clip(tmp_path):
    frames = [Picture.fromarray(frame) for frame in GREY]
    path = tmp_path / "a.GIF"
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], duration=[40, 40, 80, 0, 40])
    return path


def test_frames_keep_their_pixels_their_order_and_their_times(clip):
    assert is_image(clip)
    found = list(read(clip))
    for number, (frame, wanted) in enumerate(zip(found, GREY, strict=True)):
        np.testing.assert_array_equal(with_channels(frame.pixels, 1)[..., 0], wanted)
        assert (frame.frame, frame.slice, frame.spacing) == (number, 0, None)
    assert [frame.time for frame in found] == [0, 40, 80, 160, 260]


def test_what_a_frame_leaves_as_it_was_is_that_of_the_one_before(tmp_path):
    """Most clips store of a frame no more than what has changed."""
    screens = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], 3, 0).repeat(30, 2)
    for number in range(3):
        screens[number, 5 + number, 7:9] = 255
    frames = [Picture.fromarray(screen) for screen in screens]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], optimize=True)
    for frame, wanted in zip(read(tmp_path / "a.gif"), screens, strict=True):
        np.testing.assert_array_equal(frame.pixels, np.repeat(wanted[..., None], 3, -1))


def test_colours_and_a_single_picture(tmp_path):
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[:, :2], colours[:, 2:4] = (255, 0, 0), (0, 128, 255)
    Picture.fromarray(colours).save(tmp_path / "a.gif")
    (frame,) = read(tmp_path / "a.gif")
    np.testing.assert_array_equal(frame.pixels, colours)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.999])
def test_a_clip_that_is_cut_off_is_not_taken_for_a_shorter_one(part, clip):
    content = clip.read_bytes()
    clip.write_bytes(content[: int(part * len(content))])
    with pytest.raises(Unreadable, match="cut off"):
        list(read(clip))
    clip.write_bytes(content + bytes(300))
    assert len(list(read(clip))) == 5


def test_a_size_that_no_camera_has_is_refused(clip, monkeypatch):
    monkeypatch.setattr(image, "LARGEST", 479)
    with pytest.raises(Unreadable, match="declares images of 20x24"):
        list(read(clip))


def test_what_is_called_gif_and_is_none(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF of another kind")
    with pytest.raises(Unreadable, match="no PNG, JPEG or GIF"):
        list(formats.read(tmp_path / "a.gif"))
