"""Volumes from slices against bodies of known volume, and what is computed from them."""

import numpy as np
import pytest

from jaxssl.evaluate.metrics import ejection_fraction, extents, mass, volumes


def test_slices_at_even_steps_stand_for_a_step_each_in_either_order():
    np.testing.assert_allclose(extents(np.array([3.0, 13, 23, 33])), 10)
    np.testing.assert_allclose(extents(-8.0 * np.arange(5)), 8)


def test_slices_at_uneven_steps_reach_half_way_to_their_neighbours():
    np.testing.assert_allclose(extents(np.array([0.0, 10, 30])), [10, 15, 20])


def test_a_cylinder_has_the_volume_of_its_slices():
    areas = np.full((10, 2), [np.pi * 25**2, 100.0])
    np.testing.assert_allclose(volumes(areas, np.full(10, 8.0)), [np.pi * 25**2 * 80 / 1000, 8.0])


@pytest.mark.parametrize("uneven", [False, True])
def test_a_ball_has_its_volume(uneven):
    """An order of slices from end to end, where areas vanish, integrates to second order in the step."""
    radius, places = 30.0, np.linspace(-30, 30, 61)
    if uneven:
        places = np.delete(places, [10, 23, 24, 40])
    areas = np.pi * np.maximum(radius**2 - places**2, 0)
    assert volumes(areas[:, None], extents(places))[0] == pytest.approx(4 / 3 * np.pi * 27, rel=3e-3)


def test_the_fraction_ejected_is_in_percent_and_missing_where_nothing_was_there():
    assert ejection_fraction(120, 50) == pytest.approx(58.3333333)
    assert ejection_fraction(100, 0) == 100
    assert ejection_fraction(80, 100) == -25
    assert ejection_fraction(0, 0) is None
    assert ejection_fraction(0, 10) is None


def test_muscle_weighs_1_05_g_a_ml():
    assert mass(100) == pytest.approx(105)
