"""Lines as heatmaps: against distances measured in patient space, under every motion of the view; and their losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from jaxssl.augment.affine import draw_affine, resample
from jaxssl.augment.options import Augment
from jaxssl.geometry import Plane, line, normal, patient_point, pixel, points
from jaxssl.objectives import heatmap_loss, line_heatmaps, location_loss

SHAPE = (30, 44)
STAY = jnp.array([[1.0, 0, 0], [0, 1.0, 0]])
laws = settings(max_examples=25, deadline=None)


def random_plane(rng, shape=SHAPE) -> Plane:
    """In general position, its pixels and itself not square, its centre near the origin."""
    x_axis, y_axis, _ = Rotation.random(rng=rng).as_matrix()
    spacing = rng.uniform(0.8, 3.0, 2)
    corner = -(shape[0] - 1) / 2 * spacing[0] * y_axis - (shape[1] - 1) / 2 * spacing[1] * x_axis
    return Plane(rng.normal(0, 8, 3) + corner, x_axis, y_axis, spacing, np.array(shape))


def on_device(planes: list[Plane]) -> Plane:
    """One plane, batched."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves), jnp.float32), *planes)


@jax.jit
def drawn(host: Plane, guests: Plane, sigma, matrix):
    return line_heatmaps(host, guests, jnp.ones(guests.origin.shape[0], bool), sigma, matrix, SHAPE)


def one(host: Plane, guest: Plane, sigma=7.6, matrix=STAY, present=True, size=SHAPE):
    host, guests = (on_device([plane]) for plane in (host, guest))
    host = jax.tree.map(lambda leaf: leaf[0], host)
    maps, valid = line_heatmaps(host, guests, jnp.array([present]), sigma, matrix, size)
    return np.asarray(maps)[..., 0], bool(valid[0])


def distance_in_patient(host: Plane, guest: Plane, where: np.ndarray) -> np.ndarray:
    """Of patient points in the host's plane from the line, in mm: the distance from the guest's plane over the sine of
    the angle between the planes. No pixel is needed for it."""
    sine = np.linalg.norm(np.cross(normal(host), normal(guest)))
    return np.abs(pixel(guest, where)[2]) / sine


@laws
@given(st.integers(0, 2**32 - 1))
def test_profile_is_that_of_the_distance_in_patient_space(seed):
    rng = np.random.default_rng(seed)
    host, guests = random_plane(rng), [random_plane(rng) for _ in range(3)]
    batched = jax.tree.map(lambda leaf: leaf[0], on_device([host]))
    maps, valid = drawn(batched, on_device(guests), jnp.array([7.6, 3.0, 5.0]), STAY)
    for g, guest in enumerate(guests):
        distance = distance_in_patient(host, guest, points(host))
        if valid[g]:
            expected = np.exp(-(distance**2) / (2 * (7.6, 3.0, 5.0)[g] ** 2))
            np.testing.assert_allclose(np.asarray(maps)[..., g], expected, atol=2e-3)
        else:
            assert not np.asarray(maps)[..., g].any()
            assert not line(host, guest).valid or distance.min() > 0.3


def test_by_hand_with_pixels_that_are_not_square():
    """Rows 2 mm and columns .5 mm apart: what swaps the axes of spacing or of the image draws another picture."""
    host = Plane(np.zeros(3), np.array([1.0, 0, 0]), np.array([0.0, 1, 0]), np.array([2.0, 0.5]), np.array([10, 40]))
    sagittal = Plane(np.array([5.0, 0, 0]), np.array([0.0, 1, 0]), np.array([0.0, 0, 1]), np.ones(2), np.array([4, 4]))
    coronal = Plane(np.array([0.0, 6, 0]), np.array([1.0, 0, 0]), np.array([0.0, 0, 1]), np.ones(2), np.array([4, 4]))
    upright, level = (one(host, guest, 2.0, size=(10, 40)) for guest in (sagittal, coronal))
    columns, rows = 0.5 * np.arange(40) - 5, 2.0 * np.arange(10) - 6
    assert upright[1]
    assert level[1]
    np.testing.assert_allclose(upright[0], np.tile(np.exp(-(columns**2) / 8), (10, 1)), atol=1e-6)
    np.testing.assert_allclose(level[0], np.tile(np.exp(-(rows**2) / 8)[:, None], (1, 40)), atol=1e-6)
    assert np.argwhere(upright[0] == 1)[:, 1].tolist() == [10] * 10
    assert np.argwhere(level[0] == 1)[:, 0].tolist() == [3] * 40


def test_an_oblique_line_has_the_same_width_in_mm_on_any_pixels():
    """The published distance in pixels is right for square ones only."""
    rng = np.random.default_rng(1)
    host, guest = random_plane(rng), random_plane(rng)
    fine = Plane(host.origin, host.x_axis, host.y_axis, host.spacing / (1, 4), np.array([30, 173]))
    coarse, stretched = one(host, guest), one(fine, guest, size=(30, 173))
    assert coarse[1]
    assert stretched[1]
    np.testing.assert_allclose(stretched[0][:, ::4], coarse[0], atol=1e-4)


@laws
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, (20, 16), (33, 47)]), st.booleans())
def test_the_target_moves_with_the_image(seed, size, cropped):
    """Pixel by pixel, the map on a view is the profile at the patient point that this pixel of the view shows."""
    rng = np.random.default_rng(seed)
    host, guest = random_plane(rng), random_plane(rng)
    options = Augment(crop=(0.2, 1.0), aspect=(0.7, 1.4)) if cropped else Augment(translation=10.0)
    spacing = jnp.asarray(host.spacing, jnp.float32)
    shown = SHAPE if size is None else size
    matrix = draw_affine(jax.random.key(seed), options, SHAPE, spacing, size)
    heatmap, valid = one(host, guest, 7.6, matrix, size=shown)
    grid = np.stack([*np.mgrid[: shown[0], : shown[1]], np.ones(shown)])
    y, x = np.einsum("ij,jvu->ivu", np.asarray(matrix, float), grid)
    distance = distance_in_patient(host, guest, patient_point(host, y, x))
    if valid:
        np.testing.assert_allclose(heatmap, np.exp(-(distance**2) / (2 * 7.6**2)), atol=2e-3)
    else:
        inside = (y >= 0) & (y <= SHAPE[0] - 1) & (x >= 0) & (x <= SHAPE[1] - 1)
        reach = np.linalg.norm(np.asarray(matrix, float)[:, :2] * host.spacing[:, None], axis=0).sum() / 2
        assert not line(host, guest).valid or not (distance[inside] < 0.1 * reach).any()


def test_a_view_of_the_drawn_image_is_the_image_of_the_drawn_view():
    """The target is resampled like a picture: whatever moves the image moves the line."""
    rng = np.random.default_rng(3)
    host, guest = random_plane(rng), random_plane(rng)
    through_the_middle = Plane(patient_point(host, 15, 20), guest.x_axis, guest.y_axis, guest.spacing, guest.shape)
    picture, _ = one(host, through_the_middle)
    spacing, compared = jnp.asarray(host.spacing, jnp.float32), 0
    # Within this frame a pixel of the view is a mean of the image's, without the air beyond its edge.
    frame = jnp.pad(jnp.ones((28, 42), jnp.uint8), 1)
    for key in jax.random.split(jax.random.key(0), 12):
        for options in (Augment(translation=10.0), Augment(crop=(0.3, 1.0), aspect=(0.7, 1.4), rotation=20.0)):
            matrix = draw_affine(key, options, SHAPE, spacing, (24, 36))
            seen, inside = resample(matrix, jnp.asarray(picture)[..., None], frame, (24, 36))
            target, valid = one(host, through_the_middle, matrix=matrix, size=(24, 36))
            known = np.asarray(inside, bool)
            if valid:
                np.testing.assert_allclose(target[known], np.asarray(seen)[..., 0][known], atol=0.05)
                compared += int(np.count_nonzero(target[known] > 0.5))
    assert compared > 2000


def test_lines_that_cannot_be_found_are_no_targets():
    host = Plane(np.zeros(3), np.array([1.0, 0, 0]), np.array([0.0, 1, 0]), np.array([2.0, 1.0]), np.array(SHAPE))

    def across(x: float) -> Plane:
        return Plane(np.array([x, 0, 0]), np.array([0.0, 1, 0]), np.array([0.0, 0, 1]), np.ones(2), np.array([4, 4]))

    assert one(host, across(20.0))[1]
    # Columns lie at 0 to 43 mm and half a pixel beyond.
    assert [one(host, across(x))[1] for x in (-0.6, -0.4, 43.4, 43.6)] == [False, True, True, False]
    for missed in (one(host, across(44.0)), one(host, host), one(host, across(20.0), present=False)):
        assert not missed[1]
        assert not missed[0].any()
    for width in (0.0, np.nan):
        assert not one(host, across(20.0), sigma=width)[1]
    # The image's line, but not this half of it: the view shows columns 22 to 43.
    right = jnp.array([[1.0, 0, 0], [0, 1.0, 22.0]])
    assert not one(host, across(20.0), matrix=right, size=(30, 22))[1]
    assert one(host, across(30.0), matrix=right, size=(30, 22))[1]
    # The line goes through the view, but only where the view shows air.
    beside = jnp.array([[1.0, 0, 0], [0, 1.0, 30.0]])
    assert not one(host, across(50.0), matrix=beside)[1]


def test_thickness_widens_the_profile():
    """Half the thickness of the guest's slice: at that distance from the line the map has fallen to exp(-1/2)."""
    host = Plane(np.zeros(3), np.array([1.0, 0, 0]), np.array([0.0, 1, 0]), np.array([2.0, 1.0]), np.array(SHAPE))
    guest = Plane(np.array([20.0, 0, 0]), np.array([0.0, 1, 0]), np.array([0.0, 0, 1]), np.ones(2), np.array([4, 4]))
    batched = jax.tree.map(lambda leaf: leaf[0], on_device([host]))
    maps, _ = drawn(batched, on_device([guest, guest]), jnp.array([6.0, 8.0]) / 2, STAY)
    np.testing.assert_allclose(maps[0, [23, 24], [0, 1]], np.exp(-0.5), rtol=1e-5)


def test_losses_by_hand():
    prediction = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5, 2)), jnp.float32)
    target = jnp.zeros_like(prediction).at[0, :, :, 1].set(1.0)
    valid = jnp.array([[False, True], [False, False], [True, True]])
    known = [(prediction[b, :, :, g] - target[b, :, :, g]) ** 2 for b, g in ((0, 1), (2, 0), (2, 1))]
    np.testing.assert_allclose(heatmap_loss(prediction, target, valid), np.mean(known), rtol=1e-6)
    position = jnp.array([0.25, jnp.nan, 1.0])
    np.testing.assert_allclose(location_loss(jnp.array([0.5, 9.0, 0.0]), position), (0.0625 + 1) / 2, rtol=1e-6)


def test_what_has_no_target_pulls_at_nothing():
    """Not by 0 times something: what is predicted there may be nan, and the loss of nothing is 0."""
    target = jnp.zeros((2, 3, 3, 2)).at[1].set(jnp.nan)
    prediction = jnp.ones((2, 3, 3, 2)).at[1].set(jnp.nan)
    valid = jnp.array([[True, True], [False, False]])
    loss, gradient = jax.value_and_grad(heatmap_loss)(prediction, target, valid)
    assert loss == 1
    assert not gradient[1].any()
    np.testing.assert_allclose(gradient[0], 2 / 18, rtol=1e-6)
    loss, gradient = jax.value_and_grad(heatmap_loss)(prediction, target, jnp.zeros_like(valid))
    assert loss == 0
    assert not gradient.any()
    loss, gradient = jax.value_and_grad(location_loss)(jnp.array([0.5, 0.25]), jnp.array([jnp.nan, 0.5]))
    np.testing.assert_allclose([loss, *gradient], [0.0625, 0, -0.5])
    loss, gradient = jax.value_and_grad(location_loss)(jnp.array([0.5, 0.25]), jnp.full(2, jnp.nan))
    np.testing.assert_array_equal([loss, *gradient], 0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_errors_are_squared_and_averaged_in_float32(dtype):
    """A tail of 1e-4 of a heatmap of a million pixels: in half precision its square is lost."""
    prediction = jnp.full((1, 1000, 1000, 1), 1e-4, dtype)
    loss = heatmap_loss(prediction, jnp.zeros_like(prediction), jnp.ones((1, 1), bool))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, float(prediction[0, 0, 0, 0]) ** 2, rtol=1e-3)
