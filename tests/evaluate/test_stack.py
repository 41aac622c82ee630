"""Where slices lie, by their places, by their thickness, or not at all."""

from dataclasses import replace

import numpy as np
import pytest
import samples

from jaxssl.data.record import Record, unplaced
from jaxssl.evaluate.stack import depths, grid_spacing

SIZE = (12, 10)


def stack(*at: float, thickness=8.0, spacing=(1.4, 1.2)) -> list[Record]:
    """Slices with their planes at these depths."""
    return [
        Record(
            image=np.zeros((*SIZE, 1), np.uint8),
            subject="a",
            study="a",
            view="sax",
            slice=number,
            slices=len(at),
            phase=0,
            phases=1,
            moment="ED",
            plane=samples.plane(*SIZE, spacing, depth),
            thickness=thickness,
            mask=np.zeros(SIZE, np.uint8),
        )
        for number, depth in enumerate(at)
    ]


def nowhere(slices: list[Record], **changes) -> list[Record]:
    """The same slices without their places."""
    return [replace(each, plane=unplaced(SIZE, (1.4, 1.2)), **changes) for each in slices]


def moved(record: Record, y: float = 0, x: float = 0) -> Record:
    """In its plane, in mm."""
    plane = record.plane
    return replace(record, plane=replace(plane, origin=plane.origin + y * plane.y_axis + x * plane.x_axis))


@pytest.mark.parametrize("at", [(0, 10, 20, 30), (30, 20, 10, 0)])
def test_places_come_before_the_thickness_since_slices_may_have_gaps(at):
    slices = stack(*at)
    np.testing.assert_allclose(np.diff(depths(slices)), np.diff(at))
    assert grid_spacing(slices) == pytest.approx((10, 1.4, 1.2))


def test_slices_without_places_follow_each_other_by_their_thickness():
    slices = nowhere(stack(0, 10, 20, 30), thickness=9.5)
    np.testing.assert_allclose(np.diff(depths(slices)), 9.5)
    assert grid_spacing(slices) == pytest.approx((9.5, 1.4, 1.2))


def test_a_slice_that_is_missing_leaves_its_place_empty():
    placed = stack(0, 10, 20, 30)
    for slices, step in ((placed, 10), (nowhere(placed), 8)):
        found = [slices[i] for i in (0, 1, 3)]
        np.testing.assert_allclose(np.diff(depths(found)), [step, 2 * step])
        assert grid_spacing(found) is None


def test_a_slice_by_itself_is_no_stack_and_has_a_grid_in_its_plane():
    for slices in (stack(0), nowhere(stack(0))):
        assert depths(slices) is None
        assert grid_spacing(slices) == (1.4, 1.2)


@pytest.mark.parametrize(
    "slices",
    [
        nowhere(stack(0, 10), thickness=float("nan")),
        [*nowhere(stack(0, 10))[:1], *nowhere(stack(0, 10), thickness=9.0)[1:]],
        [stack(0, 10)[0], nowhere(stack(0, 10))[1]],
        stack(0, 10, 10),
        stack(0, 20, 10),
        [
            stack(0)[0],
            replace(stack(10)[0], plane=replace(samples.plane(*SIZE, depth=10), x_axis=np.array([0.6, -0.8, 0]))),
        ],
    ],
    ids=["no thickness", "two thicknesses", "one place of two", "a place twice", "to and fro", "not parallel"],
)
def test_places_that_nobody_knows(slices):
    assert depths(slices) is None
    assert grid_spacing(slices) is None


def larger(record: Record) -> Record:
    return replace(record, image=np.zeros((14, 10, 1), np.uint8), mask=None)


@pytest.mark.parametrize(
    ("slices", "regular"),
    [
        (stack(0, 10, 20.05), True),
        (stack(0, 10, 20.5), False),
        ([*stack(0), *map(larger, stack(0, 10)[1:])], False),
        ([*nowhere(stack(0, 10))[:1], *map(larger, nowhere(stack(0, 10))[1:])], False),
        ([*stack(0), *stack(0, 10, spacing=(1.4, 1.3))[1:]], False),
        ([*stack(0), moved(stack(0, 10)[1], y=0.6, x=-0.5)], True),
        ([*stack(0), moved(stack(0, 10)[1], y=0.8)], False),
        ([*stack(0), moved(stack(0, 10)[1], x=-0.7)], False),
        (stack(0, 10, spacing=(np.nan, np.nan)), False),
    ],
    ids=["even", "uneven", "sizes", "sizes, unplaced", "spacings", "near", "shifted y", "shifted x", "no spacing"],
)
def test_a_regular_grid(slices, regular):
    assert depths(slices) is not None
    assert (grid_spacing(slices) is not None) == regular


def test_slices_turned_in_their_plane_are_no_grid():
    first, second = stack(0, 10)
    plane = second.plane
    turned = replace(second, plane=replace(plane, x_axis=-plane.x_axis, y_axis=-plane.y_axis))
    assert depths([first, turned]) is not None
    assert grid_spacing([first, turned]) is None
