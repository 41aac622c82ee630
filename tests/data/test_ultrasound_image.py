"""How echoes become an image: speckle statistics, the point-spread function, mirrors, shadows, the fan."""

import numpy as np
import pytest

from jaxssl.data.phantom.shapes import Points
from jaxssl.data.phantom.ultrasound.canvas import BONE, SOFT, Canvas
from jaxssl.data.phantom.ultrasound.probe import BEAMS, ROWS, SHAPE, Pose, Sector
from jaxssl.data.phantom.ultrasound.speckle import Beam, Display, compress, envelope, scan_convert, transmitted
from jaxssl.geometry import pixel, points

SECTOR = Sector(radius=55, near=5, far=105, half_angle=0.6)
BEAM = Beam(axial=0.6, lateral=0.9, focus=50, zone=25)


def canvas() -> Canvas:
    """All fluid, with the plane's (x, depth) as patient x and y."""
    x, y = SECTOR.beam_points()
    return Canvas.blank(Points(x, y, np.zeros_like(x)), SECTOR.row)


def test_even_tissue_has_rayleigh_speckle():
    """mean / std = sqrt(pi / (4 - pi)) = 1.913 and mean square amplitude^2, at every depth."""
    amplitude, silent = np.full((ROWS, BEAMS), 0.3, np.float32), np.zeros((ROWS, BEAMS), np.float32)
    looks = [envelope(amplitude, silent, SECTOR, BEAM, np.random.default_rng(seed)) for seed in range(6)]
    speckle = np.stack(looks)[:, 10:-10, 20:-20]
    assert speckle.mean() / speckle.std() == pytest.approx(1.913, abs=0.03)
    for part in np.array_split(speckle, 3, axis=1):
        assert np.sqrt((part**2).mean()) == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize("depth", [20, 50, 90])
def test_a_point_is_as_wide_as_the_beam_at_its_depth(depth):
    silent, point = np.zeros((2, ROWS, BEAMS), np.float32)
    row, beam = round((depth - SECTOR.near) / SECTOR.row), BEAMS // 2
    point[row, beam] = 1
    spread = envelope(silent, point, SECTOR, BEAM, np.random.default_rng(0)).astype(float)
    y, x = np.mgrid[:ROWS, :BEAMS]
    wide = np.sqrt((spread * (x - beam) ** 2).sum() / spread.sum()) * (SECTOR.radius + depth) * 1.2 / (BEAMS - 1)
    tall = np.sqrt((spread * (y - row) ** 2).sum() / spread.sum()) * SECTOR.row
    assert wide == pytest.approx(0.9 * np.sqrt(1 + ((depth - 50) / 25) ** 2), rel=0.06)
    assert tall == pytest.approx(0.6, rel=0.06)


@pytest.mark.parametrize("degrees", [0, 30, 60, 75])
def test_a_mirror_is_as_bright_as_the_beam_meets_it_squarely(degrees):
    c, angle = canvas(), np.deg2rad(degrees)
    wall = c.points.x * np.float32(np.sin(angle)) + (c.points.y - 50) * np.float32(np.cos(angle))
    c.surface(wall, level=6, width=0.8, sharpness=3)
    middle = c.mirror[:, BEAMS // 2 - 1 : BEAMS // 2 + 1].max()
    assert middle == pytest.approx(10 ** (6 / 20) * np.cos(angle) ** 3, rel=0.05)


def test_bone_throws_a_shadow_and_fluid_lights_what_lies_behind():
    c = canvas()
    c.fill(-np.ones_like(c.points.x), SOFT)
    even = transmitted(c.loss, SECTOR.row, SOFT.loss)
    np.testing.assert_allclose(even, 0, atol=1e-3)
    c.loss[100:110, 40:60] = BONE.loss
    c.loss[100:140, 120:140] = 0
    through = transmitted(c.loss, SECTOR.row, SOFT.loss)
    np.testing.assert_allclose(through[200:, 40:60], -10 * SECTOR.row * (BONE.loss - SOFT.loss), rtol=1e-3)
    np.testing.assert_allclose(through[200:, 120:140], 40 * SECTOR.row * SOFT.loss, rtol=1e-3)
    np.testing.assert_allclose(through[:, 80:100], 0, atol=1e-3)


def test_grey_is_linear_in_decibels():
    display = Display(gain=5, range=50, noise=-70, looks=1)
    level = np.array([-80, -55, -30, -5, 20], np.float32)
    np.testing.assert_allclose(compress(10 ** (level / 20), display), [0, 0, 127.5, 255, 255], atol=1e-3)


def test_nothing_is_shown_outside_of_the_fan_and_all_within():
    shown = scan_convert(np.full((ROWS, BEAMS), 200, np.float32), SECTOR)
    pose = Pose(np.array([3.0, -7, 20]), np.array([0.0, 1, 0]), np.array([0.6, 0, 0.8]))
    apart = points(pose.plane(SECTOR)) - (pose.position - SECTOR.radius * pose.beam)
    reach = np.linalg.norm(apart, axis=-1)
    turned = np.arccos(np.clip(apart @ pose.beam / reach, -1, 1))
    beyond = np.maximum(np.abs(reach - 55 - (5 + 105) / 2) - 50, (turned - 0.6) * reach)
    assert (shown[beyond > 1e-3] == 0).all()
    assert (shown[beyond < -1e-3] == 200).all()
    assert shown.shape == SHAPE
    assert 0.4 < (shown > 0).mean() < 0.9


def test_an_echo_is_shown_where_its_scatterer_lies():
    grey = np.zeros((ROWS, BEAMS), np.float32)
    row, beam = 200, 60
    grey[row - 1 : row + 2, beam - 1 : beam + 2] = 255
    x, y = SECTOR.beam_points()
    pose = Pose(np.array([3.0, -7, 20]), np.array([0.0, 1, 0]), np.array([0.6, 0, 0.8]))
    echo = pose.position + x[row, beam] * pose.lateral + y[row, beam] * pose.beam
    at_y, at_x, off = pixel(pose.plane(SECTOR), echo)
    shown = scan_convert(grey, SECTOR).astype(float)
    found = [(shown * axis).sum() / shown.sum() for axis in np.mgrid[: SHAPE[0], : SHAPE[1]]]
    np.testing.assert_allclose(found, [at_y, at_x], atol=0.3)
    assert abs(off) < 1e-6
