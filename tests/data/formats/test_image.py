"""What is done to every image: its place is made exact, its colours grey, and a failure that may pass is told apart."""

import errno
import io
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Picture

from jaxssl.data import formats
from jaxssl.data.formats import Unreadable, read
from jaxssl.data.formats.image import in_patient, with_channels

PARTS = [Fraction(299, 1000), Fraction(587, 1000), Fraction(114, 1000)]


@given(st.sampled_from([np.uint8, np.uint16]).flatmap(lambda kind: arrays(kind, (3, 2, 3))))
def test_colours_become_their_luma_rounded_exactly(colours):
    grey = with_channels(colours, 1)
    assert grey.dtype == colours.dtype
    for own, (value,) in zip(colours.reshape(-1, 3).tolist(), grey.reshape(-1, 1).tolist(), strict=True):
        exact = sum(part * each for part, each in zip(PARTS, own, strict=True))
        assert value == int(exact + Fraction(1, 2))


@pytest.mark.parametrize("decimals", [3, 4, 6])
@given(angles=st.tuples(*[st.floats(-np.pi, np.pi)] * 3))
def test_axes_that_are_written_as_decimals_become_orthonormal(decimals, angles):
    (a, b, c), turn = angles, np.eye(3)
    for first, second, angle in ((0, 1, a), (1, 2, b), (0, 1, c)):
        step = np.eye(3)
        step[[first, second], [first, second]] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        turn = turn @ step
    x, y = np.round(turn[:2], decimals)
    plane = in_patient([1, 2, 3], x, y, (1.0, 2.0), (4, 5))
    if plane is None:  # three decimals in an unlucky place
        assert decimals == 3
        return
    axes = np.stack([plane.x_axis, plane.y_axis])
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(axes, turn[:2], atol=4 * 10.0**-decimals)


def said(path: Path) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        list(read(path))
    return caught.value


@pytest.mark.parametrize(
    ("failure", "passing"),
    [
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (MemoryError(), True),
        (OSError("image file is truncated"), False),
        (OSError(errno.EINVAL, "Invalid argument"), False),
        (ValueError("no image"), False),
    ],
)
def test_a_failure_of_the_machine_may_pass_and_damage_does_not(failure, passing, tmp_path, monkeypatch):
    def fails(path):
        raise failure

    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.setattr(formats, "import_module", lambda name: type("Reader", (), {"read": staticmethod(fails)}))
    assert said(tmp_path / "a.png").passing == passing


def test_a_damaged_file_stays_damaged(tmp_path):
    whole = io.BytesIO()
    Picture.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50)).astype(np.uint8)).save(whole, "PNG")
    (tmp_path / "a.png").write_bytes(whole.getvalue()[:-900])
    assert not said(tmp_path / "a.png").passing


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may read anything")
def test_a_file_that_may_not_be_read_may_be_another_time(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"x")
    (tmp_path / "a.dcm").chmod(0)
    assert str(said(tmp_path / "a.dcm")) == "Permission denied"
    assert said(tmp_path / "a.dcm").passing
