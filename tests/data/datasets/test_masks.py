"""Masks of every kind, and the reasons for which one is not taken."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from PIL import Image as Picture
from scans import nifti
from scipy import ndimage

from jaxssl.data.datasets import masks as drawn
from jaxssl.data.datasets.masks import (
    ByFile,
    ByFrame,
    Contours,
    Ellipse,
    Pictures,
    Polygons,
    Volume,
    filled,
    inside_ellipse,
)
from jaxssl.data.formats.image import Unreadable

CODES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 4  # x, y, slice
POINTS = st.tuples(st.integers(-20, 120), st.integers(-20, 120)).map(lambda p: (p[0] / 9 + 0.013, p[1] / 7 + 0.017))


@given(st.lists(POINTS, min_size=3, max_size=9))
def test_a_polygon_is_filled_as_its_windings_say(corners: list[tuple[float, float]]):
    """Even-odd, against matplotlib for outlines that do not cross themselves; any outline for its complement's law."""
    shape = (11, 14)
    mask = filled(np.array(corners), shape)
    np.testing.assert_array_equal(mask, filled(np.array(corners[::-1]), shape))
    np.testing.assert_array_equal(mask, filled(np.roll(corners, 1, axis=0), shape))
    triangle = np.array(corners[:3])
    x, y = np.meshgrid(np.arange(14), np.arange(11))
    wanted = Outline(triangle).contains_points(np.c_[x.ravel(), y.ravel()]).reshape(shape)
    np.testing.assert_array_equal(filled(triangle, shape), wanted)


def test_polygons_that_share_an_edge_share_no_pixel():
    """Corners and edges on the centres of pixels: each belongs to one side, none is lost."""
    left, right = np.array([(0, 0), (5, 0), (5, 8), (0, 8)]), np.array([(5, 0), (9, 0), (9, 8), (5, 8)])
    both = filled(left, (10, 12)).astype(int) + filled(right, (10, 12))
    assert both.max() == 1
    np.testing.assert_array_equal(both, filled(np.array([(0, 0), (9, 0), (9, 8), (0, 8)]), (10, 12)))


@given(st.floats(0, np.pi), st.floats(12, 25), st.floats(0.5, 1), st.floats(-6, 6), st.floats(-6, 6))
def test_an_ellipse_is_found_from_its_rim(turn, radius, flat, down, right):
    y, x = np.indices((70, 80))
    v, u = y - 35 - down, x - 40 - right
    along, across = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
    inside = (along / radius) ** 2 + (across / radius / flat) ** 2 <= 1
    rim = ndimage.binary_dilation(inside) & ~ndimage.binary_erosion(inside)
    # A rim is two pixels wide: on average the ellipse is right to a third of a pixel, whatever its size.
    assert (inside_ellipse(rim) ^ inside).sum() < rim.sum() / 6
    assert dice(inside_ellipse(rim & (u > -radius / 3)), inside) > 0.9


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("points", [[], [(1, 1), (2, 5), (8, 3)], [(n, n) for n in range(9)]])
def test_what_is_no_ellipse_is_refused(points: list[tuple[int, int]], tmp_path: Path):
    pixels = np.zeros((10, 12), np.uint8)
    for place in points:
        pixels[place] = 255
    Picture.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(Unreadable, match=r"a\.png shows no ellipse"):
        Ellipse(tmp_path / "a.png")(0, 0, 0, (10, 12))


def test_codes_are_those_of_the_file_or_others(tmp_path: Path):
    path = nifti(tmp_path / "a.nii.gz", CODES)
    np.testing.assert_array_equal(Volume(path)(0, 2, 0, (3, 2)), CODES[..., 2].T)
    np.testing.assert_array_equal(Volume(path, (0, 3, 2, 1))(0, 1, 0, (3, 2)), np.array([0, 3, 2, 1])[CODES[..., 1].T])
    assert Volume(path, frames=(3,))(0, 0, 0, (3, 2)) is None


def test_parts_know_their_files_and_frames(tmp_path: Path):
    one, other = nifti(tmp_path / "1.nii", CODES), nifti(tmp_path / "2.nii", 3 - CODES)
    masks = ByFile({0: Volume(one), 2: Volume(other)})
    np.testing.assert_array_equal(masks(2, 1, 0, (3, 2)), 3 - CODES[..., 1].T)
    assert masks(1, 0, 0, (3, 2)) is None
    masks = pickle.loads(pickle.dumps(ByFrame({4: Volume(other)})))  # noqa: S301 - as workers get it
    np.testing.assert_array_equal(masks(0, 3, 4, (3, 2)), 3 - CODES[..., 3].T)
    assert masks(0, 3, 0, (3, 2)) is None


@pytest.mark.parametrize(
    ("array", "codes", "slice", "reason"),
    [
        (CODES * 1.5, (), 0, r"its mask a\.nii has values that are no codes from 0 to 255"),
        (CODES.astype(np.int16) - 1, (), 0, r"its mask a\.nii has values that are no codes from 0 to 255"),
        (CODES.astype(np.int16) * 256, (), 1, r"its mask a\.nii has values that are no codes from 0 to 255"),
        (CODES, (0, 1, 2), 3, r"its mask a\.nii has the code 3, beyond 2"),
        (CODES, (), 4, r"its mask a\.nii has no slice 4 of frame 0"),
        (CODES[:, :2], (), 0, r"its mask a\.nii is 2x2, not 3x2"),
    ],
)
def test_a_volume_that_is_no_mask_of_the_image_is_refused(array, codes, slice, reason, tmp_path: Path):
    with pytest.raises(Unreadable, match=reason):
        Volume(nifti(tmp_path / "a.nii", array), codes)(0, slice, 0, (3, 2))


def test_a_mask_that_cannot_be_read_says_why(tmp_path: Path):
    (tmp_path / "a.nii.gz").write_bytes(b"no gzip")
    (tmp_path / "b.txt").write_text("1 2\nx y\n")
    with pytest.raises(Unreadable, match=r"its mask a\.nii\.gz: it is no NIfTI file"):
        Volume(tmp_path / "a.nii.gz")(0, 0, 0, (3, 2))
    with pytest.raises(Unreadable, match=r"its mask gone\.png: No such file or directory"):
        Pictures((tmp_path / "gone.png",))(0, 0, 0, (3, 2))
    for name in ("b.txt", "gone.txt"):
        with pytest.raises(Unreadable, match=f"its contour {name} is no list of points"):
            Contours(((1, tmp_path / name),))(0, 0, 0, (3, 2))


def test_pictures_hold_codes_or_black_and_white(tmp_path: Path):
    codes = np.array([[0, 1, 2], [3, 0, 1]], np.uint8)
    Picture.fromarray(codes).save(tmp_path / "codes.png")
    Picture.fromarray((codes > 1).astype(np.uint8) * 255).save(tmp_path / "white.png")
    Picture.fromarray(codes.astype(np.uint16) * 300).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(drawn.Picture(tmp_path / "codes.png")(0, 0, 0, (2, 3)), codes)
    np.testing.assert_array_equal(drawn.Picture(tmp_path / "white.png")(0, 0, 0, (2, 3)), codes > 1)
    with pytest.raises(Unreadable, match="more than 8 bits"):
        drawn.Picture(tmp_path / "deep.png")(0, 0, 0, (2, 3))


def test_a_frame_without_a_polygon_has_no_mask():
    masks = Polygons({3: ((0.5, 0.5), (2.5, 0.5), (2.5, 2.5), (0.5, 2.5))})
    assert masks(0, 0, 0, (4, 4)) is None
    np.testing.assert_array_equal(np.argwhere(masks(0, 0, 3, (4, 4))), [[1, 1], [1, 2], [2, 1], [2, 2]])
