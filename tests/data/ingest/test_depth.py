"""What is stored gives the values back: exactly if they are whole and fit, else to half a step. Nothing wraps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxssl.data.formats.image import Unreadable
from jaxssl.data.ingest.depth import Depth, depth_of, intensity_of

WHOLE = st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64])
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.just(1))


def near(dtype, low: int, span: int):
    """Values within a span about a place that may be anywhere in the type."""
    info = np.iinfo(dtype)
    low = min(max(low, info.min), info.max)
    return st.integers(low, min(low + span, info.max))


@given(st.data(), WHOLE, st.integers(-(2**63), 2**64), st.integers(0, 2**16 - 1))
def test_whole_numbers_that_span_16_bits_come_back_exactly(data, dtype, low, span):
    given = arrays(dtype, SHAPES, elements=near(dtype, low, span))
    images = data.draw(st.lists(given, min_size=1, max_size=3))
    depth = depth_of(images)
    for image in images:
        stored = depth.stored(image)
        assert stored.dtype == depth.dtype
        assert [int(code) + depth.offset for code in stored.ravel()] == image.ravel().tolist()
    everything = np.concatenate([image.ravel() for image in images])
    if everything.min() >= 0 and everything.max() <= 2**16 - 1:
        assert depth.offset == 0
    assert (depth.dtype == "uint8") == (dtype == np.uint8)


@given(st.data(), st.sampled_from([np.float32, np.float64]), st.sampled_from([1e-300, 1e-3, 1.0, 1e3, 1e30]))
def test_floats_come_back_to_half_a_step(data, dtype, unit):
    unit = max(unit, float(np.finfo(dtype).tiny))
    numbers = st.floats(-1, 1, allow_subnormal=False, width=32).map(lambda x: dtype(x * unit))
    images = data.draw(st.lists(arrays(dtype, SHAPES, elements=numbers), min_size=1, max_size=3))
    depth = depth_of(images)
    for image in images:
        back, exact = depth.values(depth.stored(image)), image.astype(np.float64)
        assert (abs(back - exact) <= depth.scale / 2 * (1 + 1e-9) + 1e-15 * abs(exact)).all()


def test_both_ends_of_a_wide_range_are_kept():
    images = [np.array([[[-3e9], [0.25]]]), np.array([[[5e9]]])]
    depth = depth_of(images)
    assert depth.stored(images[0]).min() == 0
    assert depth.stored(images[1]).max() == 65535
    assert depth_of([np.array([[[-(2**31)]], [[2**31 - 1]]])]).dtype == "uint16"


def test_one_image_that_is_not_of_8_bits_makes_all_deep():
    assert depth_of([np.zeros((2, 2, 1), np.uint8)]) == Depth("uint8", 0, 1.0)
    assert depth_of([np.zeros((2, 2, 1), np.uint8), np.full((1, 1, 1), 300, np.uint16)]) == Depth("uint16", 0, 1.0)


def test_a_span_that_is_no_number_is_refused():
    with pytest.raises(Unreadable, match="differ by more"):
        depth_of([np.array([[[-1.7e308], [1.7e308]]])])


def test_percentiles_are_those_of_the_values():
    pixels = np.random.default_rng(0).normal(-5, 3, (100, 100, 1)).astype(np.float32)
    depth = depth_of([pixels[:50], pixels[50:]])
    measured = intensity_of("a", depth, [depth.stored(pixels[:50]), depth.stored(pixels[50:])])
    for name, value in measured.percentiles.items():
        expected = np.percentile(pixels, float(name), method="inverted_cdf")
        assert abs(value - expected) <= depth.scale / 2 * 1.001
