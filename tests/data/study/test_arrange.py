"""Images in any order find their study, view, slice and phase; none is lost, and no two have the same place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import studies
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from jaxssl.data.study import Loaded, acquisitions
from jaxssl.data.subject import Series
from jaxssl.geometry import TOWARDS_APEX, UNKNOWN_ORDER, Plane, normal

few = settings(max_examples=12, deadline=None)


def summary(arranged):
    """What acquisitions there are: study, view, slices, phases of each slice, whether they are in order."""
    found = {}
    for p in arranged:
        phases = found.setdefault((p.study, p.view, p.slices, p.ordered), {})
        phases[p.slice] = phases.get(p.slice, 0) + 1
        assert p.phase < p.phases
    return [(*key, [phases[i] for i in range(key[2])]) for key, phases in found.items()]


def shifted(plane: Plane, mm: float) -> Plane:
    return replace(plane, origin=plane.origin + mm * normal(plane))


def turned(each: Loaded, rotation: Rotation) -> Loaded:
    p = each.plane
    plane = replace(
        p, origin=rotation.apply(p.origin), x_axis=rotation.apply(p.x_axis), y_axis=rotation.apply(p.y_axis)
    )
    return replace(each, image=each.image._replace(plane=plane))


@few
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_shuffled_study_is_found_again_exactly(index, random):
    truth = {
        each: ("", view, place // 3, len(images) // 3, place % 3, 3, "", True, "")
        for view, images in studies.whole_study(index).items()
        for place, each in enumerate(images)
    }
    images = list(truth)
    random.shuffle(images)
    arranged = acquisitions(images)
    assert studies.places(arranged) == truth
    keys = [(p.study, p.view, p.slice, p.phase) for p in arranged]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@few
@given(st.integers(0, 50), st.integers(0, 2**32 - 1))
def test_order_of_slices_and_phases_stays_while_the_heart_turns_within_its_cone(index, seed):
    rng = np.random.default_rng(seed)
    images = [each for own in studies.whole_study(index).values() for each in own]
    before = acquisitions(images)
    rotation = Rotation.from_rotvec(rng.normal(0, 0.5, 3))
    stack = [p.loaded.plane for p in before if p.view == "sax" and p.phase == 0]
    assume(rotation.apply(stack[-1].origin - stack[0].origin) @ TOWARDS_APEX > 0)
    assume(abs(rotation.apply(normal(stack[0])) @ TOWARDS_APEX) > UNKNOWN_ORDER)
    after = {p.loaded.file: p for p in acquisitions([turned(p.loaded, rotation) for p in before if p.view == "sax"])}
    for p in before:
        if p.view == "sax":
            other = after[p.loaded.file]
            assert (other.slice, other.slices, other.phase, other.ordered) == (p.slice, p.slices, p.phase, True)


@few
@given(st.integers(0, 50), st.integers(0, 2**32 - 1))
def test_views_stay_when_the_whole_study_turns_a_little(index, seed):
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    rotation = Rotation.from_rotvec(np.radians(4) * axis / np.linalg.norm(axis))
    images = [each for own in studies.whole_study(index, phases=1).values() for each in own]
    views = {(p.loaded.series.files, p.loaded.file): p.view for p in acquisitions(images)}
    after = acquisitions([turned(each, rotation) for each in images])
    assert {(p.loaded.series.files, p.loaded.file): p.view for p in after} == views


@given(st.randoms(use_true_random=False))
@settings(max_examples=8, deadline=None)
def test_slices_that_are_series_of_their_own_make_one_stack(random):
    planes = studies.prescribed(3)["sax"]
    images = [studies.taken(f"s{i}", [plane], about=f"cine_sax_{i}") for i, plane in enumerate(planes)]
    truth = {
        each: ("", "sax", place, 9, phase, 3, "", True, "")
        for place, slice_ in enumerate(images)
        for phase, each in enumerate(slice_)
    }
    shuffled = list(truth)
    random.shuffle(shuffled)
    assert studies.places(acquisitions(shuffled)) == truth


def test_slice_taken_again_and_other_sequences_stand_beside_the_cine():
    planes = studies.prescribed(0)["sax"]
    cine = [studies.taken(f"s{i}", [p], phases=4, about=f"SAX {i}") for i, p in enumerate(planes)]
    again = studies.taken("again", [shifted(planes[4], 0.6)], phases=4, about="SAX 4")
    enhanced = studies.taken("late", [shifted(p, 3.0) for p in planes], phases=1, about="LGE SAX")
    arranged = acquisitions([*again, *enhanced, *(each for own in cine for each in own)])
    assert summary(arranged) == [
        ("", "sax", 9, True, [4] * 9),
        ("repeat 2", "sax", 1, True, [4]),
        ("repeat 3", "sax", 9, True, [1] * 9),
    ]
    # Which of the two is the repeat is told by the names of the files, and by nothing that varies.
    assert {p.loaded.series.files[0].name for p in arranged if p.study == "repeat 2"} <= {"again0", "s40"}


def test_stack_keeps_gaps_and_slices_of_fewer_phases():
    planes = studies.prescribed(5)["sax"]
    kept = [planes[i] for i in (0, 1, 4, 8)]
    images = [each for i, p in enumerate(kept) for each in studies.taken(f"s{i}", [p], phases=i + 2, about="sax")]
    assert summary(acquisitions(images[::-1])) == [("", "sax", 4, True, [2, 3, 4, 5])]


def test_series_of_magnitude_and_phase_is_two_acquisitions():
    (plane,) = studies.prescribed(2)["2ch"]
    series = Series(tuple(Path(f"{i}") for i in range(6)))
    images = [Loaded(series, i, studies.image(plane, time=30.0 * (i % 3))) for i in range(6)]
    arranged = acquisitions(images[::-1])
    assert [(p.study, p.loaded.file, p.phase) for p in arranged] == [
        *(("", i, i) for i in range(3)),
        *(("repeat 2", i, i - 3) for i in range(3, 6)),
    ]


@pytest.mark.parametrize("times", [[None] * 4, [0.0] * 4, [5.0, None, 3.0, 1.0], [np.nan, 3.0, 2.0, 1.0]])
def test_without_times_the_files_tell_the_phases(times):
    (plane,) = studies.prescribed(2)["4ch"]
    series = Series(tuple(Path(f"{i}") for i in range(4)), moments={0: "ED", 2: "ES"})
    images = [Loaded(series, i, studies.image(plane, time=times[i])) for i in range(4)]
    arranged = acquisitions(images[::-1])
    assert [(p.loaded.file, p.phase, p.phases, p.moment) for p in arranged] == [
        (i, i, 4, {0: "ED", 2: "ES"}.get(i, "")) for i in range(4)
    ]


def test_equal_times_among_others_keep_the_order_of_the_files():
    (plane,) = studies.prescribed(2)["4ch"]
    times = [20.0, 0.0, 20.0, 40.0]
    images = [Loaded(Series((Path("a"),)), i, studies.image(plane, time=t)) for i, t in enumerate(times)]
    assert [p.loaded.file for p in acquisitions(images[::-1])] == [1, 0, 2, 3]


def test_moments_are_those_of_the_frames_in_a_file():
    (plane,) = studies.prescribed(2)["4ch"]
    series = Series((Path("clip"),), moments={1: "ED", 3: "ES"})
    frames = [Loaded(series, 0, studies.image(plane, frame=frame, time=100.0 - frame)) for frame in range(4)]
    assert [(p.loaded.image.frame, p.moment) for p in acquisitions(frames)] == [(3, "ES"), (2, ""), (1, "ED"), (0, "")]


@pytest.mark.parametrize(
    ("said", "backwards", "ordered"), [(None, True, True), (True, False, True), (False, True, False)]
)
def test_set_may_say_whether_files_run_from_base_to_apex(said, backwards, ordered):
    planes = studies.prescribed(1, slices=4)["sax"]
    series = Series((Path("stack"),), ordered=said)
    images = [Loaded(series, 0, studies.image(plane, slice=i)) for i, plane in enumerate(planes[::-1])]
    arranged = acquisitions(images)
    assert [p.loaded.image.slice for p in arranged] == ([3, 2, 1, 0] if backwards else [0, 1, 2, 3])
    assert {(p.view, p.ordered) for p in arranged} == {("sax", ordered)}


def test_stack_across_the_direction_of_the_heart_has_no_order():
    across = np.array([1.0, 1.0, 0.0]) / np.sqrt(2)
    x_axis, y_axis = np.array([0.0, 0.0, 1.0]), np.cross(across, [0.0, 0.0, 1.0])
    planes = [Plane(i * across, x_axis, y_axis, np.ones(2), np.array([3, 4])) for i in range(0, 20, 5)]
    arranged = acquisitions(studies.taken("a", planes, phases=1))
    assert summary(arranged) == [("", "other", 4, False, [1] * 4)]


@pytest.mark.parametrize("placed", [True, False])
def test_geometry_of_no_patient_is_not_asked(placed):
    planes = studies.prescribed(1, slices=4)["sax"]
    series = Series((Path("stack"),), placed=placed, view="" if placed else "sax", ordered=None if placed else True)
    images = [Loaded(series, 0, studies.image(plane, slice=i)) for i, plane in enumerate(planes[::-1])]
    arranged = acquisitions(images)
    assert [p.loaded.image.slice for p in arranged] == ([3, 2, 1, 0] if placed else [0, 1, 2, 3])
    assert all((p.loaded.image.plane is not None) == placed for p in arranged)
    assert {(p.view, p.ordered, p.remark) for p in arranged} == {("sax", True, "")}


@pytest.mark.parametrize(
    ("known", "slice_and_frame", "slices", "phases", "ordered"),
    [
        ({}, [(0, 0)], 1, 5, True),  # pictures: the frames of a clip
        ({"ordered": True}, [(0, 0)], 5, 1, True),  # pictures: the slices of a stack
        ({"placed": False}, [(0, 0)], 5, 1, False),
        ({}, [(0, 0), (0, 1), (0, 2)], 5, 3, False),  # a clip of each slice
        ({}, [(0, 0), (1, 0)], 2, 5, False),  # a volume of each phase
        ({"ordered": True}, [(s, f) for s in range(2) for f in range(3)], 2, 15, True),
    ],
)
def test_files_without_geometry_keep_their_places(known, slice_and_frame, slices, phases, ordered):
    series = Series(tuple(Path(f"{i}") for i in range(5)), **known)
    images = [
        Loaded(series, file, studies.image(None, slice=slice_, frame=frame))
        for file in range(5)
        for slice_, frame in slice_and_frame
    ]
    arranged = acquisitions(images[::-1])
    assert summary(arranged) == [("", "other", slices, ordered, [phases] * slices)]
    order = [(p.loaded.file, p.loaded.image.frame) for p in arranged if p.slice == 0]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"origin": np.array([0.0, np.nan, 0.0])}, "its place in the patient is not finite"),
        ({"x_axis": np.full(3, np.inf)}, "its place in the patient is not finite"),
        ({"x_axis": np.array([0.9, 0.0, 0.0])}, "the axes of its plane are not at right angles, or not of length 1"),
        ({"x_axis": np.zeros(3)}, "the axes of its plane are not at right angles, or not of length 1"),
        ({"spacing": np.array([1.0, 0.0])}, "the pixels of its plane have no size"),
        ({"shape": np.array([7, 7])}, "its plane has another shape than its pixels"),
    ],
)
def test_impossible_geometry_is_told_and_set_aside(fields, reason):
    images = studies.whole_study(4)["sax"]
    bad = images[4]
    wrong = replace(bad, image=bad.image._replace(plane=replace(bad.plane, **fields)))
    arranged = acquisitions([*images[:4], wrong, *images[5:]])
    assert summary(arranged) == [("", "other", 1, True, [1]), ("", "sax", 9, True, [3, 2, *[3] * 7])]
    told = [p for p in arranged if p.remark]
    assert [(p.loaded.file, p.view, p.remark, p.loaded.image.plane) for p in told] == [
        (bad.file, "other", reason, None)
    ]


def test_volume_whose_slices_lie_in_one_place_is_unplaced():
    (plane,) = studies.prescribed(2)["4ch"]
    images = [Loaded(Series((Path("v"),)), 0, studies.image(plane, slice=i, about="SAX")) for i in range(4)]
    arranged = acquisitions(images[::-1])
    assert [(p.view, p.slice, p.slices, p.ordered, p.remark) for p in arranged] == [
        ("sax", i, 4, False, "its slices lie in one place") for i in range(4)
    ]


def test_studies_of_one_subject_are_apart():
    images = studies.whole_study(6, phases=1)
    first = [studies.of_series(each, study="first") for own in images.values() for each in own]
    second = [studies.of_series(each, study="second") for each in images["4ch"]]
    arranged = acquisitions([*second, *first])
    assert {p.view for p in arranged if p.study == "first"} == {"sax", "2ch", "3ch", "4ch"}
    assert [(p.study, p.view) for p in arranged if p.study == "second"] == [("second", "4ch")]


def test_no_images_are_no_acquisitions():
    assert acquisitions([]) == []


def test_moments_are_those_of_the_files_whatever_else_is_missing():
    series = Series((Path("ED"), Path("ES")), view="4ch", moments={0: "ED", 1: "ES"}, placed=False)
    for file, moment in enumerate(("ED", "ES")):
        for slices in (1, 3):
            alone = [Loaded(series, file, studies.image(None, slice=i)) for i in range(slices)]
            assert [(p.phase, p.phases, p.moment) for p in acquisitions(alone)] == [(0, 1, moment)] * slices
    cine = Series((Path("cine"),), moments={1: "ED", 3: "ES"})
    kept = [Loaded(cine, 0, studies.image(None, frame=i)) for i in (1, 2, 3)]
    assert [p.moment for p in acquisitions(kept)] == ["ED", "", "ES"]


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("ultrasound", [True, False])
def test_files_of_an_ultrasound_examination_are_stacks_of_their_own(frames, ultrasound):
    series = Series(tuple(Path(f"{i}") for i in range(3)), view="lung")
    images = [
        Loaded(series, file, studies.image(None, frame=frame, ultrasound=ultrasound))
        for file in range(3)
        for frame in range(frames)
    ]
    studies_found = [(name, "lung", 1, True, [frames]) for name in ("", "repeat 2", "repeat 3")]
    if not ultrasound:
        studies_found = [("", "lung", 1, True, [3]) if frames == 1 else ("", "lung", 3, False, [frames] * 3)]
    assert summary(acquisitions(images[::-1])) == studies_found


@pytest.mark.parametrize("ultrasound", [True, False])
def test_slices_that_a_set_names_are_those(ultrasound):
    series = Series(tuple(Path(f"{i}") for i in range(5)), slices={0: 7, 1: 2, 2: 7, 3: 2, 4: 7})
    images = [Loaded(series, file, studies.image(None, ultrasound=ultrasound)) for file in range(5)]
    arranged = acquisitions(images[::-1])
    assert [(p.slice, p.phase, p.loaded.file) for p in arranged] == [
        (0, 0, 1),
        (0, 1, 3),
        (1, 0, 0),
        (1, 1, 2),
        (1, 2, 4),
    ]
    assert {(p.slices, p.ordered) for p in arranged} == {(2, False)}
