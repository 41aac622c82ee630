"""Studies with more planes than usual, and with planes of pixels of no known size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import studies
from scipy.spatial.transform import Rotation

from jaxssl.data.study import acquisitions, stacks
from jaxssl.data.study.axis import axis_of
from jaxssl.data.study.join import joined
from jaxssl.data.study.loaded import Loaded
from jaxssl.data.study.stacks import stacks_of
from jaxssl.data.subject import Series
from jaxssl.geometry import Plane, normal


def unsized(each: Loaded) -> Loaded:
    plane = replace(each.plane, spacing=np.full(2, np.nan))
    return replace(each, image=each.image._replace(plane=plane))


def moved(each: Loaded, by: np.ndarray) -> Loaded:
    plane = replace(each.plane, origin=each.plane.origin + by)
    return replace(each, image=each.image._replace(plane=plane))


def test_images_in_a_hundred_directions_are_not_compared_each_with_each(monkeypatch):
    rng, count = np.random.default_rng(0), 300
    axes = np.linalg.qr(rng.normal(size=(count, 3, 2)))[0]
    planes = [Plane(np.zeros(3), x, y, np.ones(2), np.array([3, 4])) for x, y in axes.transpose(0, 2, 1)]
    asked = []
    monkeypatch.setattr(stacks, "normal", lambda plane: asked.append(plane) or normal(plane))
    images = studies.taken("turning", planes, phases=1)
    assert len(acquisitions(images)) == count
    assert len(asked) < 5 * count


@pytest.mark.parametrize("index", range(4))
def test_a_plane_of_no_known_size_changes_nothing_of_the_others(index):
    known = studies.whole_study(index)
    truth = studies.places(acquisitions([each for images in known.values() for each in images]))
    for view in known:
        changed = {each: unsized(each) if v == view else each for v, images in known.items() for each in images}
        arranged = studies.places(acquisitions([*changed.values()]))
        others = [each for v, images in known.items() for each in images if v != view]
        if view != "sax":  # in whose middle the axis is looked for
            assert {each: arranged[each] for each in others} == {each: truth[each] for each in others}
        own = [p for p in acquisitions([*changed.values()]) if p.loaded not in changed.values()]
        assert [p.loaded.image.plane for p in own] == [None] * len(known[view])


def test_slices_of_no_known_size_that_came_in_several_series_are_one_stack():
    planes = studies.prescribed(0)["sax"]
    images = []
    for number, plane in enumerate(planes):
        (image,) = studies.taken("sax", [plane], phases=1)
        images.append(unsized(replace(image, series=Series((Path(f"{number}"),)), file=0)))
    arranged = acquisitions(images)
    assert [(p.view, p.slice, p.slices, p.ordered) for p in arranged] == [("sax", n, 9, True) for n in range(9)]
    assert [p.loaded.series.files[0].name for p in arranged] == [f"{n}" for n in range(9)]


def test_long_axis_planes_without_number_are_not_cut_each_with_each(monkeypatch):
    """The axis is looked for in so many of them, and in each place once."""
    planes, asked = studies.prescribed(0), []
    monkeypatch.setattr(np.linalg, "solve", lambda a, b, solve=np.linalg.solve: asked.append(a) or solve(a, b))
    images = studies.taken("sax", planes["sax"], phases=1)
    across = normal(planes["sax"][0])
    for number, angle in enumerate([*np.linspace(0, np.pi, 100, endpoint=False)] * 2):
        turn = Rotation.from_rotvec(across * angle)
        plane = planes["4ch"][0]
        plane = replace(plane, x_axis=turn.apply(plane.x_axis), y_axis=turn.apply(plane.y_axis))
        images += studies.taken(f"long{number}", [plane], phases=1)
    assert len(acquisitions(images)) == len(images)
    assert 0 < len(asked) <= 40 * 39 / 2


def test_a_view_that_was_taken_many_times_is_one_plane():
    """Else it would be sure that the axis of the left ventricle runs where this plane passes the middle."""
    study = studies.whole_study(0, views=("sax", "4ch"))
    (short,), (long,) = (joined(stacks_of(images, ())) for images in study.values())
    beside = (short.centre - long.centre) @ long.normal * long.normal
    through = [moved(each, beside) for each in study["4ch"]]
    once = axis_of(joined(stacks_of([*study["sax"], *through], ())))
    again = [studies.of_series(each, files=tuple(Path(f"again{n}") for n in range(3))) for each in through]
    twice = axis_of(joined(stacks_of([*study["sax"], *through, *again], ())))
    assert not once.sure
    assert not twice.sure
    np.testing.assert_array_equal(once.point, twice.point)
