"""Distances between borders: closed forms, brute force on hostile masks, laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial import KDTree
from scipy.spatial.distance import directed_hausdorff

from jaxssl.evaluate.metrics import border_distances


def border(mask, spacing):
    """Centres of the voxels with a neighbour outside, one shift at a time."""
    inner, outside = mask.copy(), np.pad(mask, 1)
    for axis in range(mask.ndim):
        for step in (-1, 1):
            inner &= np.roll(outside, step, axis)[(slice(1, -1),) * mask.ndim]
    return np.argwhere(mask & ~inner) * np.asarray(spacing)


def brute(prediction, truth, spacing):
    p, t = border(prediction, spacing), border(truth, spacing)
    there, back = KDTree(t).query(p)[0], KDTree(p).query(t)[0]
    return max(np.percentile(there, 95), np.percentile(back, 95)), (there.sum() + back.sum()) / (len(p) + len(t))


def ball(shape, centre, radius, spacing):
    places = np.stack(np.indices(shape), -1) * np.asarray(spacing)
    return np.linalg.norm(places - centre, axis=-1) <= radius


def put(mask, shape, at):
    grid = np.zeros(shape, bool)
    grid[tuple(slice(a, a + n) for a, n in zip(at, mask.shape, strict=True))] = mask
    return grid


@pytest.mark.parametrize(("axis", "spacing"), [(0, (10.0, 1.4, 1.2)), (1, (10.0, 1.4, 1.2)), (1, (0.3, 0.7))])
def test_sheets_are_apart_by_their_distance_in_mm(axis, spacing):
    masks = np.zeros((2, *(8,) * len(spacing)), bool)
    for mask, place in zip(masks, (2, 5), strict=True):
        mask[(slice(None),) * axis + (place,)] = True
    assert border_distances(*masks, spacing) == pytest.approx((3 * spacing[axis],) * 2)


def test_a_box_in_a_box_of_closed_form():
    """From the inner box it is the margin everywhere, from the outer one the distance of a point from a box."""
    spacing, inner, margin = np.array([3.0, 1.5, 2.0]), np.array([5, 12, 9]), 4
    outer = np.ones(inner + 2 * margin, bool)
    box = put(np.ones(inner, bool), outer.shape, (margin,) * 3)
    points = np.argwhere(outer)
    points = points[((points == 0) | (points == np.array(outer.shape) - 1)).any(1)]
    excess = np.maximum(np.maximum(margin - points, points - (margin + inner - 1)), 0) * spacing
    from_outer = np.linalg.norm(excess, axis=1)
    there = margin * spacing.min()
    inside = np.prod(inner) - np.prod(inner - 2)
    found = border_distances(box, outer, spacing)
    assert found is not None
    assert found.hd95 == pytest.approx(np.percentile(from_outer, 95))
    # The nearest face of the outer box depends on the place, so each voxel is asked by itself.
    places = np.argwhere(box)
    places = places[((places == margin) | (places == margin + inner - 1)).any(1)]
    to_faces = (np.minimum(places, np.array(outer.shape) - 1 - places) * spacing).min(1)
    assert (len(places), to_faces.min()) == (inside, there)
    assert found.assd == pytest.approx((to_faces.sum() + from_outer.sum()) / (len(places) + len(points)))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 0.8, 0.9)])
def test_concentric_balls_are_apart_by_the_difference_of_their_radii(spacing):
    shape = tuple(int(52 / step) for step in spacing)
    centre = (np.array(shape) - 1) / 2 * spacing
    found = border_distances(ball(shape, centre, 14, spacing), ball(shape, centre, 22, spacing), spacing)
    # A voxel counts by its centre, which lies up to a voxel within the surface, in either ball.
    assert found == pytest.approx((8, 8), abs=max(spacing) * 0.6)


@pytest.mark.parametrize(("dimensions", "share"), [(2, 2 / np.pi), (3, 1 / 2)])
def test_a_moved_ball_is_off_by_the_mean_of_the_cosine(dimensions, share):
    """|t cos| averaged over a circle is 2 t / pi, over a sphere t / 2."""
    shape, spacing, shift = (70,) * dimensions, (1.0,) * dimensions, 6.0
    middle = np.full(dimensions, 34.3)
    moved = middle + np.eye(dimensions)[0] * shift
    found = border_distances(ball(shape, middle, 24, spacing), ball(shape, moved, 24, spacing), spacing)
    assert found is not None
    assert found.assd == pytest.approx(shift * share, rel=0.07)
    assert shift * 0.85 < found.hd95 <= shift


def test_each_direction_has_its_percentile():
    """A false island of a tenth of the prediction is seen; of both directions pooled it would be less than 5 %."""
    truth = np.zeros((60, 100), bool)
    truth[5] = True
    prediction = truth.copy()
    prediction[45, :10] = True
    found = border_distances(prediction, truth, (1.0, 1.0))
    assert found is not None
    assert (found.hd95, found.assd) == (40.0, 10 * 40 / 210)


def hostile():
    """Prediction, truth, spacing."""
    rng = np.random.default_rng(0)
    one, other = np.zeros((2, 6, 9, 7), bool)
    one[0, 0, 0], other[5, 8, 6] = True, True
    full = np.ones((6, 9, 7), bool)
    edge = full.copy()
    edge[:, 2:, :3] = False
    hollow = np.pad(np.zeros((4, 7, 5), bool), 1, constant_values=True)
    noise = rng.random((2, 6, 9, 7)) < 0.4
    return [
        pytest.param(one, other, (10, 1.4, 1.2), id="one voxel each"),
        pytest.param(one, one, (10, 1.4, 1.2), id="the same voxel"),
        pytest.param(one, full, (8, 1, 1), id="one voxel and all"),
        pytest.param(edge, full, (2, 3, 0.5), id="touching every side"),
        pytest.param(hollow, full, (5, 1, 1.5), id="hollow and full"),
        pytest.param(*noise, (10, 1.4, 1.4), id="noise"),
        pytest.param(noise[0], other, (0.1, 7, 3), id="noise and one voxel"),
        pytest.param(noise[0, :1], noise[1, :1], (10, 1, 1.3), id="one layer"),
        pytest.param(noise[0, 2], noise[1, 2], (1.7, 0.4), id="flat"),
        pytest.param(noise[0, 2, :1], noise[1, 2, :1], (1.0, 0.4), id="a line"),
    ]


@pytest.mark.parametrize(("prediction", "truth", "spacing"), hostile())
def test_hostile_masks_as_by_brute_force(prediction, truth, spacing):
    assert border_distances(prediction, truth, spacing) == pytest.approx(brute(prediction, truth, spacing))


def test_ragged_volumes_as_by_brute_force():
    rng = np.random.default_rng(1)
    for _ in range(10):
        spacing = rng.uniform(0.5, 10, 3)
        shape = tuple(rng.integers(4, 24, 3))
        first, second = (
            ball(shape, rng.uniform(0, 1, 3) * shape * spacing, 0.4 * min(shape * spacing), spacing)
            | (rng.random(shape) < 0.02)
            for _ in range(2)
        )
        assert border_distances(first, second, spacing) == pytest.approx(brute(first, second, spacing))


def test_a_structure_that_is_missing_has_no_distance():
    empty, some = np.zeros((3, 4, 5), bool), np.ones((3, 4, 5), bool)
    for pair in ((empty, empty), (empty, some), (some, empty)):
        assert border_distances(*pair, (1, 1, 1)) is None


def test_masks_of_different_grids_are_refused_even_where_numpy_would_broadcast():
    with pytest.raises(ValueError, match="not of one grid"):
        border_distances(np.ones((1, 4, 4), bool), np.ones((3, 4, 4), bool), (1, 1, 1))
    with pytest.raises(ValueError, match="not of one grid"):
        border_distances(np.ones((3, 4, 4), bool), np.ones((3, 4, 4), bool), (1, 1))


masks = arrays.arrays(bool, (2, 4, 5, 3)).filter(lambda pair: pair[0].any() and pair[1].any())
spacings = st.tuples(*[st.floats(0.1, 20)] * 3)


@given(masks, spacings, st.tuples(*[st.integers(0, 3)] * 3), st.floats(0.1, 10))
def test_laws(pair, spacing, at, scale):
    first, second = pair
    found = border_distances(first, second, spacing)
    assert found is not None
    assert border_distances(second, first, spacing) == pytest.approx(found)
    moved = [put(mask, (7, 8, 6), at) for mask in pair]
    assert border_distances(*moved, spacing) == pytest.approx(found)
    assert border_distances(first, second, np.multiply(spacing, scale)) == pytest.approx(np.multiply(found, scale))
    assert border_distances(first, first, spacing) == (0, 0)
    points = [border(mask, spacing) for mask in pair]
    largest = max(directed_hausdorff(*points)[0], directed_hausdorff(*reversed(points))[0])
    assert 0 <= max(found) <= largest * (1 + 1e-9)
