"""The fetal ultrasound phantom: one anatomy under all planes and scans, exact masks, planes that can be told apart."""

from dataclasses import replace

import numpy as np
import pytest

from jaxssl.data.phantom.ultrasound import (
    ULTRASOUND_CLASSES,
    UltrasoundOptions,
    head_circumference,
    ultrasound_phantom,
    ultrasound_subject,
)
from jaxssl.data.phantom.ultrasound.growth import ellipse_circumference
from jaxssl.data.phantom.ultrasound.population import draw_fetus
from jaxssl.data.phantom.ultrasound.views import VIEWS
from jaxssl.errors import UserError
from jaxssl.geometry import normal, patient_point

OPTIONS = UltrasoundOptions(subjects=6, scans=1, seed=3)
MASKED = {
    "transventricular": {"head"},
    "transthalamic": {"head"},
    "transcerebellar": {"head"},
    "abdomen": {"abdomen"},
    "four_chamber": {"LV", "RV", "LA", "RA"},
    "femur": {"femur"},
}


@pytest.fixture(scope="module")
def population():
    """The records of each subject, by plane."""
    found = [{} for _ in range(OPTIONS.subjects)]
    for record in ultrasound_phantom(OPTIONS):
        found[int(record.subject[-3:])][record.view] = record
    return found


def middle(record, name):
    """Patient coordinates of the middle of a class."""
    y, x = (axis.mean() for axis in np.nonzero(record.mask == ULTRASOUND_CLASSES.index(name)))
    return patient_point(record.plane, y, x)


def ellipse(record):
    """Half axes in mm of the ellipse with the mask's second moments."""
    places = np.argwhere(record.mask > 0) * record.plane.spacing
    return 2 * np.sqrt(np.linalg.eigvalsh(np.cov(places.T)))


def length(record):
    """Extent of the mask in mm along its longest direction."""
    places = np.argwhere(record.mask > 0) * record.plane.spacing
    _, directions = np.linalg.eigh(np.cov(places.T))
    return np.ptp(places @ directions[:, -1])


def test_subject_is_the_same_alone_and_among_others(population):
    alone = ultrasound_subject(replace(OPTIONS, subjects=64), 5)
    assert [record.view for record in alone] == list(VIEWS)
    for record in alone:
        other = population[5][record.view]
        np.testing.assert_array_equal(record.image, other.image)
        np.testing.assert_array_equal(record.plane.origin, other.plane.origin)
        assert (record.mask is None) == (other.mask is None)
        assert (record.subject, record.study, record.labels) == (other.subject, other.study, other.labels)
    assert alone[0].subject == "ultrasound-3-005"
    another = ultrasound_subject(replace(OPTIONS, seed=4), 5)
    assert not np.array_equal(alone[0].image, another[0].image)


def test_planes_have_two_granularities_and_the_masks_that_belong_to_them(population):
    assert len(VIEWS) >= 8
    assert len({view.organ for view in VIEWS.values()}) >= 4
    for subject in population:
        for plane, record in subject.items():
            brain = {"brain_plane": plane} if plane.startswith("trans") else {}
            assert record.labels == {"plane": plane, "organ": VIEWS[plane].organ, **brain}
            assert record.image.dtype == np.uint8
            codes = set() if record.mask is None else set(np.unique(record.mask)) - {0}
            assert {ULTRASOUND_CLASSES[code] for code in codes} == MASKED.get(plane, set())


def test_masks_measure_what_the_subject_was_given(population):
    for index, subject in enumerate(population):
        size = draw_fetus(OPTIONS.seed, index).size
        assert ellipse_circumference(*ellipse(subject["transthalamic"])) == pytest.approx(
            head_circumference(OPTIONS, index), rel=0.03
        )
        assert ellipse_circumference(*ellipse(subject["abdomen"])) == pytest.approx(2 * np.pi * size.trunk, rel=0.03)
        assert length(subject["femur"]) == pytest.approx(size.femur, rel=0.04)


def test_circumference_of_an_ellipse():
    t = np.linspace(0, 2 * np.pi, 4001)
    way = np.hypot(np.diff(31 * np.cos(t)), np.diff(40 * np.sin(t))).sum()
    assert ellipse_circumference(31, 40) == pytest.approx(way, rel=1e-6)


def test_chambers_lie_as_in_a_fetus(population):
    """In fetal LPS coordinates: the left atrium is next to the spine, the apex points forwards and to the left."""
    for index, subject in enumerate(population):
        lv, rv, la, ra = (middle(subject["four_chamber"], name) for name in ("LV", "RV", "LA", "RA"))
        assert lv[0] > rv[0]
        assert la[0] > ra[0]
        assert la[1] == max(lv[1], rv[1], la[1], ra[1])
        left, back, _ = (lv + rv) - (la + ra)
        assert np.arctan2(left, -back) == pytest.approx(draw_fetus(OPTIONS.seed, index).heart_axis, abs=0.1)


def test_planes_cut_the_fetus_as_they_are_meant_to(population):
    for subject in population:
        axial, coronal_like = subject["abdomen"], subject["kidneys"]
        assert abs(normal(axial.plane)[2]) > 0.95
        assert abs(normal(coronal_like.plane)[1]) > 0.95
        assert abs(normal(subject["spine"].plane)[0]) > 0.95
        assert middle(subject["transthalamic"], "head")[2] > middle(axial, "abdomen")[2] + 60


def test_scans_share_the_anatomy_and_differ_in_everything_else():
    first, second, third = ultrasound_subject(UltrasoundOptions(scans=3, seed=9, planes=("transthalamic",)), 1)
    assert first.subject == second.subject == third.subject == "ultrasound-9-001"
    assert len({record.study for record in (first, second, third)}) == 3
    for other in (second, third):
        np.testing.assert_allclose(ellipse(first), ellipse(other), rtol=0.03)
        assert np.linalg.norm(middle(first, "head") - middle(other, "head")) < 10
        assert first.plane.spacing[0] != other.plane.spacing[0]
        assert np.corrcoef(first.image.ravel(), other.image.ravel())[0, 1] < 0.9


def test_bone_casts_a_shadow(population):
    """Behind the shaft of the femur it is darker than before it, though the same flesh lies there."""
    for subject in population:
        record = subject["femur"]
        image, bone = record.image[..., 0].astype(float), record.mask > 0
        columns = np.flatnonzero(bone.any(0))
        before, behind = [], []
        for x in columns[len(columns) // 4 : -len(columns) // 4]:
            rows, mm = np.flatnonzero(bone[:, x]), record.plane.spacing[0]
            before.append(image[int(rows[0] - 4 / mm) : int(rows[0] - 1.5 / mm), x].mean())
            behind.append(image[int(rows[-1] + 1.5 / mm) : int(rows[-1] + 5 / mm), x].mean())
        assert np.mean(behind) < 0.7 * np.mean(before)


def test_planes_can_be_told_apart_in_subjects_never_seen(population):
    """The nearest image of other subjects, by coarse brightness alone, shows the same plane far above chance."""
    shown = [
        (s, plane, record.image[..., 0]) for s, subject in enumerate(population) for plane, record in subject.items()
    ]
    features = np.stack([image.reshape(15, 16, 20, 16).mean((1, 3)).ravel() for _, _, image in shown])
    features = (features - features.mean(1, keepdims=True)) / features.std(1, keepdims=True)
    subject, plane = np.array([s for s, _, _ in shown]), np.array([p for _, p, _ in shown])
    alike = np.where(subject[:, None] == subject[None], -np.inf, features @ features.T)
    nearest = alike.argmax(1)
    organ = np.array([VIEWS[p].organ for p in plane])
    assert (plane[nearest] == plane).mean() > 4 / len(VIEWS)
    assert (organ[nearest] == organ).mean() > 2 * (organ[:, None] == organ[None]).mean()


def test_planes_that_are_looked_for_are_those_of_a_whole_examination(population):
    chosen = replace(OPTIONS, planes=("femur", "four_chamber"))
    found = {record.view: record for record in ultrasound_subject(chosen, 2)}
    assert set(found) == {"femur", "four_chamber"}
    for plane, record in found.items():
        np.testing.assert_array_equal(record.image, population[2][plane].image)
        # Codes of their own, which mean the same.
        names, known = (np.array(classes) for classes in (chosen.classes, OPTIONS.classes))
        np.testing.assert_array_equal(names[record.mask], known[population[2][plane].mask])
    assert chosen.classes == ("background", "LV", "RV", "LA", "RA", "femur")
    assert OPTIONS.classes == ULTRASOUND_CLASSES
    assert replace(OPTIONS, planes=("profile",)).classes == ("background",)


def test_the_heart_beats_over_the_frames():
    options = UltrasoundOptions(scans=1, frames=4, planes=("four_chamber",))
    records = ultrasound_subject(options, 0)
    assert [record.phase for record in records] == [0, 1, 2, 3]
    ventricles, atria = (
        [sum((record.mask == options.classes.index(name)).sum() for name in names) for record in records]
        for names in (("LV", "RV"), ("LA", "RA"))
    )
    assert (np.argmax(ventricles), np.argmin(ventricles)) == (0, 1)
    assert np.argmax(atria) == 1


@pytest.mark.parametrize("wrong", [{"subjects": 0}, {"scans": 0}, {"frames": 0}, {"seed": -1}, {"planes": ("knee",)}])
def test_impossible_options_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=name):
        UltrasoundOptions(**wrong)
