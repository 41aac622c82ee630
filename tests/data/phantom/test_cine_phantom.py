"""The cine phantom: exact labels, planes that agree, draws that depend on seed and index alone."""

from dataclasses import replace

import numpy as np
import pytest

from jaxssl.data.phantom import CineOptions, analytic_volumes, cine_phantom, cine_subject
from jaxssl.data.phantom.beat import Beat, beat, end_systole
from jaxssl.data.phantom.heart import paint_heart
from jaxssl.data.phantom.population import draw_subject
from jaxssl.data.phantom.prescription import VIEWS, prescribe
from jaxssl.data.phantom.scene import clean_signal, masks
from jaxssl.data.phantom.shapes import Points
from jaxssl.data.phantom.tissue import Tissues
from jaxssl.errors import UserError
from jaxssl.geometry import Plane, base_to_apex, line, normal, patient_point, pixel, points

SMALL = CineOptions(subjects=3, phases=2, slices=3, seed=11)


@pytest.fixture(scope="module")
def records():
    """One subject of each group, with four phases."""
    return [cine_subject(CineOptions(phases=4, slices=9), index) for index in range(5)]


def of(records, view, moment):
    """The records of a view at a moment, in the order of the stack."""
    return [r for r in records if r.view == view and r.moment == moment]


def test_subject_is_the_same_alone_and_among_others():
    together = [r for r in cine_phantom(SMALL) if r.subject == "phantom-11-002"]
    alone = cine_subject(replace(SMALL, subjects=64), 2)
    assert len(together) == len(alone) == 2 * (3 + 3)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(points(one.plane), points(other.plane))
        assert (one.view, one.slice, one.phase, one.labels) == (other.view, other.slice, other.phase, other.labels)
    another = cine_subject(replace(SMALL, seed=12), 2)
    assert not np.array_equal(alone[0].mask, another[0].mask) or not np.array_equal(alone[0].image, another[0].image)


def test_phantom_yields_subjects_in_order_and_tells_its_progress():
    told = []
    found = list(cine_phantom(replace(SMALL, slices=2, phases=1), lambda done, of: told.append((done, of))))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [r.subject for r in found] == [f"phantom-11-{i:03d}" for i in range(3) for _ in range(5)]
    assert [r.view for r in found[:5]] == ["sax", "sax", *VIEWS[1:]]
    assert {r.moment for r in found} == {"ED"}


@pytest.mark.parametrize("index", [1, 4])
@pytest.mark.parametrize("phase", [0, 1])
def test_dense_stack_of_masks_has_the_analytic_volumes(index, phase):
    options = CineOptions(phases=4)
    subject = draw_subject(options.seed, index)
    first = prescribe(subject, 9, np.random.default_rng(0))["sax"][0]
    step, towards_apex = 0.6, -normal(first)
    stack = np.stack([points(first)[::2, ::2] + (k * step - 4) * towards_apex for k in range(220)])
    (mask,) = masks(subject, stack, [beat(phase, options.phases)])
    voxel = step * np.prod(2 * first.spacing) / 1000
    for code, (name, expected) in enumerate(analytic_volumes(options, index, phase).items(), 1):
        assert (mask == code).sum() * voxel == pytest.approx(expected, rel=0.01), name


@pytest.mark.parametrize("index", [0, 7])
@pytest.mark.parametrize(("host_view", "guest_view"), [("sax", "4ch"), ("sax", "3ch"), ("2ch", "4ch")])
def test_point_on_two_planes_has_one_intensity(index, host_view, guest_view):
    subject = draw_subject(3, index)
    views = prescribe(subject, 7, np.random.default_rng(0))
    host, guest = views[host_view][len(views[host_view]) // 2], views[guest_view][0]
    a, b, c, valid = line(host, guest)
    assert valid
    near_y, near_x, _ = pixel(host, subject.origin)
    away = a * near_x + b * near_y + c
    start = patient_point(host, near_y - b * away, near_x - a * away)
    along = np.cross(normal(host), normal(guest))
    along /= np.linalg.norm(along)
    images = []
    for plane in (host, guest):
        rows_towards = np.cross(normal(plane), along)
        origin = start - 70 * along - 5 * rows_towards
        grid = Plane(origin, along, rows_towards, np.array([1.0, 0.7]), np.array([11, 200]))
        images.append(clean_signal(subject, points(grid), beat(1, 4)))
    np.testing.assert_allclose(images[0][5], images[1][5], atol=2e-3)
    assert images[0][5].std() > 0.2
    assert np.abs(images[0][0] - images[1][0]).max() > 0.3


def test_left_ventricle_is_largest_at_ed_and_smallest_at_es(records):
    for subject in records:
        cavity = np.zeros(4)
        for r in subject:
            if r.view == "sax":
                cavity[r.phase] += (r.mask == 3).sum()
        moments = {r.phase: r.moment for r in subject}
        assert moments == {0: "ED", 1: "ES", 2: "", 3: ""}
        assert (cavity.argmax(), cavity.argmin()) == (0, 1)
        assert (np.diff(cavity[1:]) > 0).all()


@pytest.mark.parametrize("phases", [1, 2, 4, 9, 25])
def test_beat_goes_from_diastole_to_systole_and_back(phases):
    contraction = [beat(phase, phases).contraction for phase in range(phases)]
    systole = end_systole(phases)
    assert (contraction[0], int(np.argmax(contraction))) == (0, systole)
    assert phases == 1 or contraction[systole] == 1
    assert (np.diff(contraction[: systole + 1]) >= 0).all()
    assert (np.diff(contraction[systole:]) <= 0).all()
    assert all(beat(phase, phases).filling == (phase > systole) for phase in range(phases))


def test_images_are_like_a_scanners(records):
    for subject in records:
        for r in subject:
            rows, columns, channels = r.image.shape
            assert r.image.dtype == np.uint16
            assert channels == 1
            assert rows != columns
            assert tuple(r.plane.shape) == (rows, columns) == r.mask.shape
            assert 200 < r.image.max() < 2500
        middle = of(subject, "sax", "ED")[4]
        right, muscle, left = (np.median(middle.image[..., 0][middle.mask == k]) for k in (1, 2, 3))
        assert min(left, right) > 1.8 * muscle


def test_stack_runs_from_base_to_apex(records):
    for subject in records:
        stack = of(subject, "sax", "ED")
        assert [r.slice for r in stack] == list(range(9))
        assert base_to_apex([r.plane for r in stack]) == list(range(9))
        area = [int((r.mask > 1).sum()) for r in stack]
        assert area[2] > area[6] > area[8] > 0
        assert not of(subject, "sax", "ES")[0].mask.any()


def test_long_axis_views_cut_the_ventricles_they_are_named_for(records):
    for subject in records:
        middle = of(subject, "sax", "ED")[4]
        y, x = (axis.mean() for axis in np.nonzero(middle.mask == 3))
        for view in VIEWS[1:]:
            (shown,) = of(subject, view, "ED")
            a, b, c, valid = line(middle.plane, shown.plane)
            assert valid
            assert abs(a * x + b * y + c) * middle.plane.spacing[0] < 12
            assert {2, 3} <= set(np.unique(shown.mask))
        (four,) = of(subject, "4ch", "ED")
        assert (four.mask == 1).sum() * np.prod(four.plane.spacing) > 500


@pytest.mark.parametrize("index", range(5))
def test_nothing_that_beats_leaves_the_sphere_it_is_painted_in(index):
    subject = draw_subject(0, index)
    centre, radius = subject.heart.sphere
    outwards = np.random.default_rng(0).normal(size=(3, 20000))
    outwards *= radius / np.linalg.norm(outwards, axis=0)
    shell = Points(*(centre[:, None] + outwards).astype(np.float32))
    canvas = np.zeros(20000, np.float32)
    for contraction in (0.0, 1.0):
        paint_heart(canvas, subject.heart, Beat(contraction, False), subject.textures, Tissues(), shell)
    assert np.abs(canvas).max() == 0


@pytest.mark.parametrize("wrong", [{"subjects": 0}, {"phases": 0}, {"slices": 1}, {"seed": -1}])
def test_impossible_options_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=name):
        CineOptions(**wrong)


def test_groups_and_vendors_take_turns():
    pairs = [(s.group, s.vendor) for s in (draw_subject(0, index) for index in range(20))]
    assert len(set(pairs)) == 20
