"""The circumference of drawn ellipses, and of the real samples where JAXSSL_DATA names their folder."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxssl.evaluate.metrics import circumference


def ellipse(a, b, turn, spacing, shape=(180, 200), off=(0.3, -2.1)):
    """Pixels with their centres in an ellipse of these semi-axes in mm."""
    y, x = ((np.indices(shape).T - (np.array(shape) - 1) / 2) * spacing + off).T
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


def length(a, b):
    """Of the polygon through many points of an ellipse."""
    angle = np.linspace(0, 2 * np.pi, 20_001)
    return np.hypot(np.diff(a * np.cos(angle)), np.diff(b * np.sin(angle))).sum()


@settings(max_examples=40, deadline=None)
@given(st.floats(25, 45), st.floats(0.5, 1), st.floats(0, np.pi), st.tuples(st.floats(0.2, 0.6), st.floats(0.2, 0.6)))
def test_ellipses_at_any_angle_in_pixels_of_any_shape(a, part, turn, spacing):
    mask = ellipse(a, part * a, turn, spacing, shape=tuple(int(100 / step) for step in spacing))
    assert circumference(mask, spacing) == pytest.approx(length(a, part * a), rel=3e-3)


def test_a_fine_circle_is_two_pi_r():
    assert circumference(ellipse(40, 40, 0, (0.5, 0.5)), (0.5, 0.5)) == pytest.approx(2 * np.pi * 40, rel=2e-4)


def test_small_heads_are_neither_too_small_nor_too_large():
    """A pixel is in the mask by its centre, and counts as that point: as a square, 4 of radius would give 1 % more."""
    offsets = np.random.default_rng(0).random((200, 2))
    sizes = [circumference(ellipse(4, 4, 0, (1, 1), shape=(20, 22), off=off), (1, 1)) for off in offsets]
    assert np.mean(sizes) == pytest.approx(2 * np.pi * 4, rel=2e-3)


def test_holes_and_false_islands_change_nothing():
    mask = ellipse(30, 24, 0.4, (0.5, 0.6))
    spoilt = mask.copy()
    spoilt[80:90, 95:110] = False
    spoilt[:10, :15] = spoilt[170:, 190:] = True
    assert circumference(spoilt, (0.5, 0.6)) == circumference(mask, (0.5, 0.6))


def test_the_least_of_masks():
    mask = np.zeros((5, 4), bool)
    assert circumference(mask, (1, 1)) is None
    mask[4, 3] = True
    assert circumference(mask, (2, 2)) == 0
    line = np.zeros((3, 40), bool)
    line[1] = True
    # There and back along an ellipse without width, whose points have the variance of the pixels.
    assert circumference(line, (1, 2)) == pytest.approx(4 * 2 * 2 * np.sqrt((40**2 - 1) / 12), rel=5e-3)


@pytest.mark.skipif("JAXSSL_DATA" not in os.environ, reason="JAXSSL_DATA names no folder of samples")
def test_real_heads_have_the_circumference_of_their_table():
    """The masks of this copy include the drawn line, half of which lies outside of the ellipse: 1 % on average."""
    folder = Path(os.environ["JAXSSL_DATA"]) / "hc18"
    excess = []
    for row in list(csv.DictReader((folder / "hc18.csv").open()))[::10]:
        mask = np.asarray(Image.open(folder / "masks" / row["file"]).convert("L")) > 127
        found = circumference(mask, [float(row["pixel_mm_in_this_copy"])] * 2)
        assert found is not None
        excess.append(found / float(row["head_circumference_mm"]) - 1)
    assert len(excess) == 76
    assert 0 < np.mean(excess) < 0.015
    assert np.std(excess) < 0.005
