"""Laws of planes, their lines of intersection, and the order of a stack."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from jaxssl.data.record import unplaced
from jaxssl.geometry import Plane, base_to_apex, line, normal, patient_point, pixel, points

seeds = st.integers(0, 2**32 - 1)
laws = settings(max_examples=60, deadline=None)


def random_plane(rng: np.random.Generator) -> Plane:
    """A plane in general position: anisotropic spacing, not square."""
    x_axis, y_axis, _ = Rotation.random(rng=rng).as_matrix()
    shape = rng.integers(5, 300, 2)
    return Plane(rng.normal(0, 80, 3), x_axis, y_axis, rng.uniform(0.5, 4.0, 2), shape)


def moved(plane: Plane, rotation: Rotation, shift: np.ndarray) -> Plane:
    """The plane after a rigid motion of the whole patient space."""
    return Plane(
        rotation.apply(plane.origin) + shift,
        rotation.apply(plane.x_axis),
        rotation.apply(plane.y_axis),
        plane.spacing,
        plane.shape,
    )


@laws
@given(seeds)
def test_points_of_the_line_lie_on_both_planes(seed):
    rng = np.random.default_rng(seed)
    host, guest = random_plane(rng), random_plane(rng)
    a, b, c, valid = line(host, guest)
    if not valid:
        return
    assert a**2 + b**2 == pytest.approx(1.0)
    assert a > 0 or (a == 0 and b > 0)
    along = np.linspace(-50, 50, 7)
    on_line = patient_point(host, -c * b + along * a, -c * a - along * b)
    scale = np.abs(on_line).max() + 1
    assert np.abs(pixel(guest, on_line)[2]).max() < 1e-11 * scale
    off_line = patient_point(host, -c * b + b, -c * a + a)
    assert abs(pixel(guest, off_line)[2]) > 1e-3


@laws
@given(seeds)
def test_lines_do_not_change_when_the_patient_is_moved(seed):
    rng = np.random.default_rng(seed)
    host, guest = random_plane(rng), random_plane(rng)
    rotation, shift = Rotation.random(rng=rng), rng.normal(0, 200, 3)
    before, after = line(host, guest), line(moved(host, rotation, shift), moved(guest, rotation, shift))
    np.testing.assert_allclose(np.array(after[:3]), np.array(before[:3]), rtol=1e-8, atol=1e-8)


@laws
@given(seeds)
def test_line_is_the_same_whichever_way_the_guest_faces(seed):
    rng = np.random.default_rng(seed)
    host, guest = random_plane(rng), random_plane(rng)
    flipped = Plane(guest.origin, guest.y_axis, guest.x_axis, guest.spacing[::-1], guest.shape[::-1])
    np.testing.assert_allclose(np.array(line(host, flipped)[:3]), np.array(line(host, guest)[:3]), atol=1e-12)


@laws
@given(seeds)
def test_pixels_and_patient_points_are_inverse(seed):
    rng = np.random.default_rng(seed)
    plane = random_plane(rng)
    y, x = rng.uniform(-20, 300, (2, 11))
    back_y, back_x, distance = pixel(plane, patient_point(plane, y, x))
    np.testing.assert_allclose((back_y, back_x), (y, x), atol=1e-9)
    np.testing.assert_allclose(distance, 0, atol=1e-9)


def test_points_put_columns_along_x_axis_with_their_own_spacing():
    plane = Plane(
        np.array([1.0, 2, 3]), np.array([0.0, 1, 0]), np.array([0.0, 0, -1]), np.array([2.0, 0.5]), np.array([3, 5])
    )
    grid = points(plane)
    assert grid.shape == (3, 5, 3)
    np.testing.assert_allclose(grid[2, 4], [1, 2 + 4 * 0.5, 3 - 2 * 2.0])
    np.testing.assert_allclose(normal(plane), [-1, 0, 0])


def test_line_by_hand_with_anisotropic_pixels():
    host = Plane(np.zeros(3), np.array([1.0, 0, 0]), np.array([0.0, 1, 0]), np.array([2.0, 0.5]), np.array([10, 40]))
    sagittal = Plane(np.array([5.0, 0, 0]), np.array([0.0, 1, 0]), np.array([0.0, 0, 1]), np.ones(2), np.array([4, 4]))
    coronal = Plane(np.array([0.0, 6, 0]), np.array([1.0, 0, 0]), np.array([0.0, 0, 1]), np.ones(2), np.array([4, 4]))
    np.testing.assert_allclose(np.array(line(host, sagittal)[:3]), [1, 0, -10])
    np.testing.assert_allclose(np.array(line(host, coronal)[:3]), [0, 1, -3])


def test_parallel_planes_have_no_line():
    plane = random_plane(np.random.default_rng(0))
    a_little = Rotation.from_rotvec(0.02 * plane.x_axis)
    tilted = Plane(plane.origin, plane.x_axis, a_little.apply(plane.y_axis), plane.spacing, plane.shape)
    for other in (plane, tilted):
        found = line(plane, other)
        assert not found.valid
        assert np.isfinite(found[:3]).all()


def test_line_under_jit_and_vmap_agrees_with_numpy():
    rng = np.random.default_rng(3)
    hosts, guests = [random_plane(rng) for _ in range(5)], [random_plane(rng) for _ in range(5)]
    guests[2] = hosts[2]
    stacked = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *planes) for planes in (hosts, guests)]
    expected = np.array([line(h, g) for h, g in zip(hosts, guests, strict=True)])
    for found in (jax.jit(jax.vmap(line))(*stacked), jax.jit(line)(*stacked)):
        np.testing.assert_allclose(np.stack(found, 1)[:, 3], expected[:, 3])
        known = expected[:, 3] == 1
        np.testing.assert_allclose(np.stack(found, 1)[known], expected[known], rtol=1e-4, atol=1e-4)
        assert np.isfinite(found[2]).all()


def stack_along(step: np.ndarray, slices: int) -> list[Plane]:
    """Parallel planes, each one `step` further; the step is their normal direction."""
    direction = step / np.linalg.norm(step)
    x_axis = np.cross(direction, [0.3, 0.5, -0.9])
    x_axis /= np.linalg.norm(x_axis)
    y_axis = np.cross(direction, x_axis)
    return [Plane(10 + i * step, x_axis, y_axis, np.array([1.4, 1.2]), np.array([20, 30])) for i in range(slices)]


@laws
@given(seeds)
def test_base_to_apex_finds_the_order_of_a_shuffled_stack(seed):
    rng = np.random.default_rng(seed)
    step = rng.normal(0, 8, 3)
    stack = stack_along(step, 7)
    shuffled = rng.permutation(7)
    order = base_to_apex([stack[i] for i in shuffled])
    towards_apex = step @ [1, -1, -1] / np.linalg.norm(step)
    if abs(towards_apex) < 0.3:
        assert order is None
    else:
        expected = np.arange(7) if towards_apex > 0 else np.arange(7)[::-1]
        np.testing.assert_array_equal(shuffled[order], expected)


def test_order_is_unknown_rather_than_guessed():
    assert base_to_apex(stack_along(np.array([5.0, -5, -5]), 1)) is None
    assert base_to_apex(stack_along(np.array([9.0, 4.5, 4.4]), 5)) is None
    fan = [*stack_along(np.array([5.0, -5, -5]), 2), *stack_along(np.array([5.0, -5, 5]), 1)]
    assert base_to_apex(fan) is None
    same = stack_along(np.array([5.0, -5, -5]), 2)
    assert base_to_apex([same[0], same[0]]) is None


def test_order_does_not_depend_on_in_plane_offsets_or_facing():
    stack = stack_along(np.array([4.0, -5, -6]), 5)
    rng = np.random.default_rng(0)
    offset = [
        Plane(p.origin + rng.normal(0, 60) * p.x_axis, p.y_axis, p.x_axis, p.spacing[::-1], p.shape[::-1])
        for p in stack
    ]
    assert base_to_apex(offset[::-1]) == [4, 3, 2, 1, 0]


def test_a_plane_whose_place_is_unknown_cuts_no_other():
    rng = np.random.default_rng(3)
    known, unknown, sizeless = random_plane(rng), unplaced((20, 30), (1.0, 1.5)), unplaced((20, 30), None)
    for host, guest in ((known, unknown), (unknown, known), (unknown, unknown), (sizeless, known), (known, sizeless)):
        found = line(host, guest)
        assert not found.valid
        assert np.isfinite([found.a, found.b, found.c]).all()


def test_no_gradient_is_spoilt_by_a_plane_whose_place_is_unknown():
    rng = np.random.default_rng(4)
    host, guest = random_plane(rng), unplaced((20, 30), (1.0, 1.5))

    def offset(origin):
        return line(
            Plane(jnp.asarray(origin), *map(jnp.asarray, (host.x_axis, host.y_axis, host.spacing, host.shape))), guest
        ).c

    assert np.isfinite(jax.grad(offset)(host.origin)).all()
