"""The knee phantom: exact labels, stacks that agree where they meet, anatomy and findings that are what they say."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label, map_coordinates

from jaxssl.data.phantom.knee import KNEE_CLASSES, KneeOptions, knee_phantom, knee_subject
from jaxssl.data.phantom.knee.bones import FEMORAL_CARTILAGE, FEMUR, MENISCI, TIBIA, TIBIAL_CARTILAGE, labels, surfaces
from jaxssl.data.phantom.knee.population import GROUPS, KneeSubject, draw_knee_subject
from jaxssl.data.phantom.knee.study import KNEE_VIEWS, knee_mask, knee_signal, prescribe_knee
from jaxssl.data.phantom.knee.tissue import PROTOCOLS
from jaxssl.data.phantom.shapes import Points
from jaxssl.errors import UserError
from jaxssl.geometry import Plane, line, normal, patient_point, pixel, points

SMALL = KneeOptions(subjects=3, slices=2, seed=11)

STEP = 0.6
BOX = (-46, 46), (-44, 46), (-14, 58)
"""Knee-frame limits of the grid on which anatomy is checked: all of the cartilage and the menisci."""


@pytest.fixture(scope="module")
def records():
    """One left and one right knee, without and with fat suppression."""
    return [knee_subject(KneeOptions(slices=7), index) for index in (0, 6)]


def fine_grid(subject: KneeSubject) -> np.ndarray:
    """Labels [x, y, z] on a fine grid of the knee frame."""
    sides = [np.arange(*ends, STEP, dtype=np.float32) for ends in BOX]
    grid = np.meshgrid(*sides, indexing="ij")
    return labels(surfaces(subject.knee, Points(*(axis.ravel() for axis in grid)))).reshape(grid[0].shape)


@pytest.fixture(scope="module", params=[0, 7])
def anatomy(request):
    """A normal knee and a worn one, with their labels on the fine grid."""
    subject = draw_knee_subject(0, request.param)
    return subject, fine_grid(subject)


def stack(subject: list, view: str) -> list:
    """The records of one view, in the order of the stack."""
    return [r for r in subject if r.view == view]


def test_subject_is_the_same_alone_and_among_others():
    together = [r for r in knee_phantom(SMALL) if r.subject == "knee-11-002"]
    alone = knee_subject(replace(SMALL, subjects=64), 2)
    assert len(together) == len(alone) == 2 * 2
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(points(one.plane), points(other.plane))
        assert (one.view, one.slice, one.labels) == (other.view, other.slice, other.labels)
    another = knee_subject(replace(SMALL, seed=12), 2)
    assert not np.array_equal(points(alone[0].plane), points(another[0].plane))


def test_phantom_yields_subjects_in_order_and_tells_its_progress():
    told = []
    found = list(knee_phantom(SMALL, lambda done, of: told.append((done, of))))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [r.subject for r in found] == [f"knee-11-{i:03d}" for i in range(3) for _ in range(4)]
    assert [(r.view, r.slice) for r in found[:4]] == [(view, k) for view in KNEE_VIEWS for k in range(2)]


@pytest.mark.parametrize("wrong", [{"subjects": 0}, {"slices": 1}, {"seed": -1}])
def test_impossible_options_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=name):
        KneeOptions(**wrong)


def test_groups_and_makers_take_turns_and_sides_do_not_follow_them():
    subjects = [draw_knee_subject(0, index) for index in range(48)]
    assert len({(s.group, s.vendor) for s in subjects[:16]}) == 16
    for group in GROUPS:
        assert {s.side for s in subjects if s.group == group} == {"left", "right"}


@pytest.mark.parametrize("view", KNEE_VIEWS)
def test_stack_of_masks_has_the_volumes_of_the_anatomy(anatomy, view):
    subject, truth = anatomy
    planes = prescribe_knee(subject, 41, np.random.default_rng(0))[view]
    gap = np.linalg.norm(planes[1].origin - planes[0].origin)
    codes = np.concatenate([knee_mask(subject, points(plane)).ravel() for plane in planes])
    counted = np.bincount(codes, minlength=len(KNEE_CLASSES)) * gap * np.prod(planes[0].spacing)
    expected = np.bincount(truth.ravel(), minlength=len(KNEE_CLASSES)) * (STEP * subject.size) ** 3
    for code in (FEMORAL_CARTILAGE, TIBIAL_CARTILAGE, MENISCI):
        assert counted[code] == pytest.approx(expected[code], rel=0.02), KNEE_CLASSES[code]


def test_cartilage_of_the_plateau_has_its_closed_form_volume(anatomy):
    """The integral of T (1 - q^4) over an ellipse is 2/3 T pi a b."""
    subject, truth = anatomy
    expected = sum(2 / 3 * half.tibial * math.pi * math.prod(half.footprint) for half in subject.knee.halves)
    assert (truth == TIBIAL_CARTILAGE).sum() * STEP**3 == pytest.approx(expected, rel=0.01)


def test_cartilage_covers_its_bone_on_the_side_of_the_joint(anatomy):
    subject, truth = anatomy
    for bone, cartilage, thickness in (
        (FEMUR, FEMORAL_CARTILAGE, max(half.femoral for half in subject.knee.halves)),
        (TIBIA, TIBIAL_CARTILAGE, max(half.tibial for half in subject.knee.halves)),
    ):
        away = STEP * distance_transform_edt(truth != bone)[truth == cartilage]
        # Distances go from middle to middle of voxels; on a curved bone the shell is thick to first order only.
        assert away.max() < 1.1 * thickness + STEP
        assert away.min() == pytest.approx(STEP, rel=1e-6)
    # Up every column the tissues come in one order, with cartilage on the near side of either bone.
    order, height = (TIBIA, TIBIAL_CARTILAGE, MENISCI, FEMORAL_CARTILAGE), np.arange(truth.shape[2])
    highest = [np.where(truth == code, height, -1).max(2) for code in order]
    lowest = [np.where(truth == code, height, 999).min(2) for code in order]
    for below, above in ((0, 1), (1, 2), (2, 3), (1, 3)):
        shared = (highest[below] >= 0) & (lowest[above] < 999)
        assert shared.sum() > 500
        assert (highest[below] < lowest[above])[shared].all()


def test_nothing_of_the_joint_overlaps(anatomy):
    subject, _ = anatomy
    rng = np.random.default_rng(0)
    d = surfaces(subject.knee, Points(*(rng.uniform(*ends, 400_000).astype(np.float32) for ends in BOX)))
    femoral, tibial = (d.femoral_cartilage < 0) & (d.femur > 0), (d.tibial_cartilage < 0) & (d.tibia > 0)
    for one, other in ((d.femur < 0, d.tibia < 0), (femoral, tibial), (femoral, d.tibia < 0), (tibial, d.femur < 0)):
        assert not (one & other).any()
    assert not ((d.menisci < 0) & (femoral | tibial)).any()


def test_menisci_are_two_wedge_shaped_rings_open_to_the_middle(anatomy):
    subject, truth = anatomy
    pieces, count = label(truth == MENISCI)
    assert count == 2
    x, y = (np.arange(*ends, STEP) for ends in BOX[:2])
    for half in subject.knee.halves:
        middle = half.side * half.middle
        height = STEP * (pieces == pieces[np.abs(x - middle).argmin()].max()).sum(2)
        (row,) = np.nonzero(np.abs(y - 3) < STEP / 2 + 1e-3)
        across = half.side * (x - middle)
        outer, inner = (height[(across > low) & (across < high), row[0]] for low, high in ((10, 15), (-8, 3)))
        assert outer.max() > 3
        assert inner.max() == 0
        # From the free edge to the rim the wedge rises.
        section = outer[np.argsort(across[(across > 10) & (across < 15)])]
        assert section[-1] > section[0]
        column = np.abs(x - middle).argmin()
        assert height[column, y < -8].max() > 1.5
        assert height[column, y > 14].max() > 1.5


@pytest.mark.parametrize("group", GROUPS)
def test_condyles_rest_on_the_plateau(group):
    subject = draw_knee_subject(4, GROUPS.index(group))
    for half in subject.knee.halves:
        x, y = np.meshgrid(half.side * half.middle + np.arange(-13, 13, 0.5), np.arange(-14, 20, 0.5))
        heights = np.arange(-5, 12, 0.05)
        grid = [q.ravel().astype(np.float32) for q in np.broadcast_arrays(x[..., None], y[..., None], heights)]
        code = labels(surfaces(subject.knee, Points(*grid))).reshape(*x.shape, -1)
        floor = np.where(code == TIBIAL_CARTILAGE, heights, -9.0).max(-1)
        # Where the cartilage is worn away, bare bone comes down.
        ceiling = np.where((code == FEMORAL_CARTILAGE) | (code == FEMUR), heights, 99).min(-1)
        gap = (ceiling - floor)[floor > -9]
        assert 0.3 < gap.min() < 0.8


def test_stacks_are_exact_parallel_and_cross(records):
    for subject in records:
        for view in KNEE_VIEWS:
            slices = stack(subject, view)
            assert [(r.slice, r.slices, r.phase, r.phases, r.moment) for r in slices] == [
                (k, 7, 0, 1, "") for k in range(7)
            ]
            across = np.diff([r.plane.origin for r in slices], axis=0)
            np.testing.assert_allclose(across, across[:1].repeat(6, 0), atol=1e-9)
            unit = across[0] / np.linalg.norm(across[0])
            for r in slices:
                assert abs(normal(r.plane) @ unit) == pytest.approx(1, abs=1e-9)
        sagittal, coronal = (stack(subject, view)[0].plane for view in KNEE_VIEWS)
        assert abs(normal(sagittal) @ normal(coronal)) < 0.2
        outward = stack(subject, "sagittal")[-1].plane.origin - sagittal.origin
        assert (outward[0] > 0) == (subject[0].labels["side"] == "left")
        assert coronal.x_axis[0] > 0.9
        assert sagittal.x_axis[1] > 0.9
        assert max(sagittal.y_axis[2], coronal.y_axis[2]) < -0.9


def along(host: Plane, guest: Plane) -> np.ndarray:
    """Pixels (y, x) of the host, 0.25 mm apart, along the line in which the guest cuts it, within both images."""
    a, b, c, valid = line(host, guest)
    assert valid
    y = np.arange(0, host.shape[0] - 1, 0.25 / host.spacing[0])
    x = -(b * y + c) / a
    u, v, distance = pixel(guest, patient_point(host, y, x))
    np.testing.assert_allclose(distance, 0, atol=1e-9)
    shown = (x > 0) & (x < host.shape[1] - 1) & (u > 0) & (u < guest.shape[0] - 1) & (v > 0) & (v < guest.shape[1] - 1)
    return np.stack([y, x])[:, shown]


def on_line(host, guest, shift: float = 0.0) -> tuple[np.ndarray, ...]:
    """Images and masks of both, along the line of one in the other; `shift` moves it sideways in the guest, in mm."""
    y, x = along(host.plane, guest.plane)
    u, v, _ = pixel(guest.plane, patient_point(host.plane, y, x))
    v = v + shift / guest.plane.spacing[1]
    places = (host, (y, x)), (guest, (u, v))
    images = (map_coordinates(r.image[..., 0].astype(float), place, order=1) for r, place in places)
    codes = (map_coordinates(r.mask, place, order=0) for r, place in places)
    return *images, *codes


def test_images_agree_along_the_line_in_which_they_meet(records):
    for subject in records:
        agreement, right, wrong = [], [], []
        for host in stack(subject, "sagittal")[1:-1:2]:
            for guest in stack(subject, "coronal")[2:-1]:
                one, other, code, other_code = on_line(host, guest)
                agreement.append(code == other_code)
                right.append(np.corrcoef(one, other)[0, 1])
                one, other, *_ = on_line(host, guest, shift=9)
                wrong.append(np.corrcoef(one, other)[0, 1])
        agreement = np.concatenate(agreement)
        assert agreement.mean() > 0.97
        assert np.median(right) > 0.85
        assert np.mean(np.array(right) > np.array(wrong)) > 0.9


def test_point_on_two_planes_has_one_signal_and_one_label():
    subject = draw_knee_subject(3, 5)
    planes = prescribe_knee(subject, 5, np.random.default_rng(0))
    host, guest = planes["sagittal"][1], planes["coronal"][2]
    y, x = along(host, guest)
    mine = patient_point(host, y, x)
    u, v, _ = pixel(guest, mine)
    theirs = patient_point(guest, u, v)
    np.testing.assert_allclose(knee_signal(subject, mine), knee_signal(subject, theirs), atol=2e-3)
    codes = knee_mask(subject, mine)
    np.testing.assert_array_equal(codes, knee_mask(subject, theirs))
    assert {FEMUR, TIBIA, FEMORAL_CARTILAGE} <= set(codes)


def test_left_knees_mirror_right_ones():
    left = draw_knee_subject(0, 0)
    assert left.side == "left"
    mirror = np.array([-1.0, 1, 1])
    right = replace(left, side="right", axes=left.axes * mirror, origin=left.origin * mirror)
    ours, theirs = (prescribe_knee(subject, 5, np.random.default_rng(1)) for subject in (left, right))
    for view, turn in (("sagittal", 1), ("coronal", -1)):
        for one, other in zip(ours[view][1:4], theirs[view][1:4], strict=True):
            mask = knee_mask(left, points(one))
            np.testing.assert_allclose(points(one) * mirror, points(other)[:, ::turn], atol=1e-9)
            np.testing.assert_array_equal(mask, knee_mask(right, points(other))[:, ::turn])
            seen, mirrored = knee_signal(left, points(one)), knee_signal(right, points(other))[:, ::turn]
            np.testing.assert_allclose(seen, mirrored, atol=1e-6)
    assert np.linalg.det(left.axes) == pytest.approx(1)
    assert np.linalg.det(right.axes) == pytest.approx(-1)


def test_images_are_like_a_scanners(records):
    for subject in records:
        tissues = PROTOCOLS[subject[0].labels["vendor"]].tissues
        for r in subject:
            rows, columns, channels = r.image.shape
            assert (channels, r.image.dtype) == (1, np.uint16)
            assert rows > columns
            assert tuple(r.plane.shape) == (rows, columns) == r.mask.shape
            assert 300 < r.image.max() < 4095
        middle = stack(subject, "coronal")[4]
        assert set(np.unique(middle.mask)) == set(range(len(KNEE_CLASSES)))
        seen = [np.median(middle.image[..., 0][middle.mask == k]) for k in range(len(KNEE_CLASSES))]
        assert seen[MENISCI] < 0.7 * min(seen[FEMORAL_CARTILAGE], seen[TIBIAL_CARTILAGE])
        assert (seen[FEMUR] > seen[FEMORAL_CARTILAGE]) == (tissues.marrow > tissues.cartilage)


def placed(subject: KneeSubject, local: np.ndarray) -> np.ndarray:
    """Knee-frame points in patient space."""
    return local * subject.size @ subject.axes + subject.origin


def signal_within_menisci(subject: KneeSubject) -> np.ndarray:
    """Signal at random points at least 0.8 mm within the menisci."""
    box = np.array([(-40, 40), (-25, 32), (-8, 14)], float)
    local = np.random.default_rng(0).uniform(box[:, 0], box[:, 1], (200_000, 3))
    distance = surfaces(subject.knee, Points(*local.T.astype(np.float32))).menisci
    return knee_signal(subject, placed(subject, local[distance < -0.8]))


@pytest.mark.parametrize("turn", range(2))
def test_findings_show(turn):
    for index in range(4 * turn, 4 * turn + 4):
        subject = draw_knee_subject(5, index)
        tissues = PROTOCOLS[subject.vendor].tissues
        bright = (signal_within_menisci(subject) > 0.5 * tissues.fluid).mean()
        assert (bright > 0.01) if subject.group == "meniscal tear" else (bright == 0), subject.group
        x, z = subject.limb.patella
        across = np.arange(-12, 6, 0.25)
        pouch = np.stack([np.full_like(across, x), subject.knee.front + across, np.full_like(across, z + 30)], -1)
        without = replace(subject, limb=replace(subject.limb, fluid=0.0))
        there = placed(subject, pouch)
        depth = 0.25 * (np.abs(knee_signal(subject, there) - knee_signal(without, there)) > 0.05).sum()
        assert (depth > 4) if subject.group == "effusion" else (depth < 3), subject.group
        thin = max(subject.knee.medial.femoral, subject.knee.medial.tibial) < 2
        assert thin == (subject.group == "thin cartilage")


def test_thin_cartilage_shows_in_the_masks():
    cartilage = {group: [] for group in GROUPS}
    for index in range(8):
        subject = draw_knee_subject(9, index)
        planes = prescribe_knee(subject, 9, np.random.default_rng(0))["sagittal"]
        codes = np.concatenate([knee_mask(subject, points(plane)[::2]).ravel() for plane in planes])
        count = np.bincount(codes, minlength=len(KNEE_CLASSES))
        cartilage[subject.group].append(
            (count[FEMORAL_CARTILAGE] + count[TIBIAL_CARTILAGE]) / (count[FEMUR] + count[TIBIA])
        )
    worn = cartilage.pop("thin cartilage")
    assert max(worn) < 0.85 * min(map(min, cartilage.values()))


@pytest.mark.parametrize("index", range(4))
def test_sizes_are_those_of_knees(index):
    subject = draw_knee_subject(2, index)
    volume = np.bincount(fine_grid(subject).ravel(), minlength=6) * (STEP * subject.size) ** 3 / 1000
    worn = subject.group == "thin cartilage"
    limits = {FEMORAL_CARTILAGE: (3, 11) if worn else (6, 18), TIBIAL_CARTILAGE: (0.6, 3) if worn else (1.2, 5)}
    for code, (low, high) in (limits | {MENISCI: (2.5, 9)}).items():
        assert low < volume[code] < high, KNEE_CLASSES[code]
