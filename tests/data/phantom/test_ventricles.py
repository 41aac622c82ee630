"""The ventricles in closed form against counting voxels, a hand-made formula, and what is known of the groups."""

import math
from dataclasses import replace

import numpy as np
import pytest

from jaxssl.data.phantom.population import GROUPS, draw_subject, draw_ventricles
from jaxssl.data.phantom.shapes import Points
from jaxssl.data.phantom.ventricles import Ventricles, distances, labels, volumes

STEPS = 2.5, 2.5, 0.3
"""Fine along the axis, where the flat base would round to whole voxels."""


def counted(v: Ventricles, contraction: float) -> dict[str, float]:
    """Volumes by counting the labels of voxels."""
    limits = (-62, 112), (-76, 76), (-2, 122)
    sides = [np.arange(*ends, step, dtype=np.float32) for ends, step in zip(limits, STEPS, strict=True)]
    grid = np.meshgrid(*sides, indexing="ij")
    code = labels(distances(v, contraction, Points(*(axis.ravel() for axis in grid))))
    return {name: float((code == k).sum() * np.prod(STEPS)) / 1000 for k, name in enumerate(("RV", "MYO", "LV"), 1)}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("contraction", [0.0, 1.0])
def test_volumes_are_those_of_the_labels(group, contraction):
    v = draw_ventricles(GROUPS[group], np.random.default_rng(5))
    expected, found = volumes(v, contraction), counted(v, contraction)
    for name in expected:
        assert found[name] == pytest.approx(expected[name], rel=0.01), name


def test_cavity_of_an_even_ventricle_is_a_cut_spheroid():
    v = draw_ventricles(GROUPS["NOR"], np.random.default_rng(1))
    even = replace(v, flattening=0.0, infarct=(0.0, 0.0, 0.5), ripple=(0.0, 0.0, 0.0, 0.0))
    half = v.length / 1.5
    expected = math.pi * v.radius[0] ** 2 * half * (2 / 3 + 1 / 2 - 1 / 24) / 1000
    assert volumes(even, 0.0)["LV"] == pytest.approx(expected, rel=1e-6)


def test_muscle_is_neither_made_nor_lost():
    for index in range(5):
        v = draw_subject(0, index).heart.ventricles
        assert volumes(v, 1.0)["MYO"] == pytest.approx(volumes(v, 0.0)["MYO"], rel=0.12)


@pytest.mark.parametrize(
    ("group", "lv_ejected", "rv_ejected", "muscle_to_cavity", "right_to_left"),
    [
        ("NOR", (0.52, 0.72), (0.45, 0.66), (0.6, 1.1), (0.7, 1.5)),
        ("DCM", (0.10, 0.36), (0.20, 0.52), (0.3, 0.75), (0.4, 0.9)),
        ("HCM", (0.58, 0.80), (0.48, 0.70), (1.3, 3.5), (0.6, 1.5)),
        ("MINF", (0.20, 0.48), (0.38, 0.62), (0.4, 0.95), (0.4, 1.1)),
        ("RV", (0.44, 0.68), (0.16, 0.42), (0.6, 1.2), (1.5, 3.5)),
    ],
)
def test_groups_are_what_their_names_say(group, lv_ejected, rv_ejected, muscle_to_cavity, right_to_left):
    first = list(GROUPS).index(group)
    for index in range(first, 30, len(GROUPS)):
        subject = draw_subject(0, index)
        assert subject.group == group
        diastole, systole = (volumes(subject.heart.ventricles, c) for c in (0.0, 1.0))
        for value, (low, high) in (
            (1 - systole["LV"] / diastole["LV"], lv_ejected),
            (1 - systole["RV"] / diastole["RV"], rv_ejected),
            (diastole["MYO"] / diastole["LV"], muscle_to_cavity),
            (diastole["RV"] / diastole["LV"], right_to_left),
        ):
            assert low < value < high, (index, value)


def test_infarct_is_thin_and_does_not_move():
    v = draw_ventricles(GROUPS["MINF"], np.random.default_rng(2))
    _, angle, height = v.infarct
    z = np.linspace(0.3, 0.9, 7, dtype=np.float32) * v.length

    def wall_and_radius(at: float, contraction: float) -> tuple[float, float]:
        """Along a ray at the infarct's height: radius of the cavity, and thickness of the wall beyond it."""
        r = np.linspace(1, 90, 3000, dtype=np.float32)
        level = np.full_like(r, z[np.argmin(np.abs(z - height * v.length))])
        code = labels(distances(v, contraction, Points(r * np.float32(np.cos(at)), r * np.float32(np.sin(at)), level)))
        step = float(r[1] - r[0])
        return float((code == 2).sum()) * step, float((code == 3).sum()) * step

    (dead_wall, dead_radius), (wall, radius) = (wall_and_radius(a, 0.0) for a in (angle, angle + math.pi))
    (dead_wall_es, dead_radius_es), (wall_es, radius_es) = (wall_and_radius(a, 1.0) for a in (angle, angle + math.pi))
    assert dead_wall < 0.7 * wall
    assert dead_wall_es < 1.2 * dead_wall
    assert wall_es > 1.2 * wall
    assert dead_radius - dead_radius_es < 0.4 * (radius - radius_es)
