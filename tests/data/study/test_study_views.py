"""Views by the planes of phantom hearts and of a real study, and by words where planes leave a choice."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import studies
from scipy.spatial.transform import Rotation

from jaxssl.data.phantom.population import draw_subject
from jaxssl.data.study import Loaded, acquisitions
from jaxssl.data.subject import Series
from jaxssl.geometry import Plane, normal

REAL = Path(os.environ.get("JAXSSL_DATA", "")) / "bivme_patient1"
real = pytest.mark.skipif(not ("JAXSSL_DATA" in os.environ and REAL.is_dir()), reason="wants the real study")


def views(images):
    """The view of each series, by the first of its files' names."""
    return {p.loaded.series.files[0].name: p.view for p in acquisitions(images)}


def facing(towards, centre=(0.0, 0.0, 0.0), size=(200, 220)) -> Plane:
    """A plane of this normal through a point, which is the middle of its image."""
    towards = np.asarray(towards, float) / np.linalg.norm(towards)
    x_axis, y_axis = np.linalg.svd(towards[None])[2][1:]
    spacing, size = np.ones(2), np.array(size)
    origin = np.asarray(centre) - (size[0] - 1) / 2 * y_axis - (size[1] - 1) / 2 * x_axis
    return Plane(origin, x_axis, y_axis, spacing, size)


@pytest.mark.parametrize(
    "present", ["sax 2ch 3ch 4ch", "2ch 3ch 4ch", "2ch 4ch", "3ch 4ch", "sax 3ch", "2ch", "3ch", "4ch"]
)
def test_planes_alone_name_the_views_of_any_phantom(present):
    names, wrong = present.split(), Counter()
    for index in range(100, 120):
        planes = studies.prescribed(index)
        images = [each for view in names for each in studies.taken(view, planes[view], phases=1)]
        wrong += Counter((p.loaded.series.files[0].name[:-1], p.view) for p in acquisitions(images))
    assert set(wrong) == {(view, view) for view in names}


def test_planes_are_believed_before_words():
    planes = studies.prescribed(8)
    words = {"sax": "4CH", "2ch": "LVOT", "3ch": "cine_4CH", "4ch": "short axis"}
    images = [each for view in words for each in studies.taken(view, planes[view], phases=1, about=words[view])]
    assert views(images) == {f"{view}0": view for view in words}


def test_set_is_believed_before_planes():
    images = [studies.of_series(each, view="lvot") for each in studies.whole_study(3, ["2ch"])["2ch"]]
    assert {p.view for p in acquisitions(images)} == {"lvot"}


@pytest.mark.parametrize(("about", "view"), [("RVOT", "rvot"), ("rv_2ch", "rv2ch"), ("2CH", "rv2ch"), ("", "rv2ch")])
def test_two_chamber_plane_beside_the_left_ventricle_is_of_the_right(about, view):
    planes, heart = studies.prescribed(8), draw_subject(0, 8)
    (two,) = planes["2ch"]
    beside = replace(two, origin=two.origin + 40 * heart.axes[0])
    images = [each for name in ("sax", "2ch", "3ch", "4ch") for each in studies.taken(name, planes[name], phases=1)]
    found = views([*images, *studies.taken("right", [beside], phases=1, about=about)])
    assert found["right0"] == view
    assert found["2ch0"] == "2ch"


def test_words_choose_between_neighbours_at_their_border():
    planes, heart = studies.prescribed(8), draw_subject(0, 8)
    (two,) = planes["2ch"]
    long_axis = normal(planes["sax"][0])
    angle = {}
    for degrees in range(0, 180, 4):
        turn = Rotation.from_rotvec(np.radians(degrees) * heart.axes[2])
        middle = heart.origin + 0.45 * heart.heart.ventricles.length * heart.axes[2]
        plane = facing(turn.apply(normal(two)), middle)
        assert abs(normal(plane) @ long_axis) < 0.2
        found = {}
        for about in ("", "2ch", "3ch", "4ch"):
            images = [each for name in ("sax", "4ch") for each in studies.taken(name, planes[name], phases=1)]
            found[about] = views([*images, *studies.taken("turned", [plane], phases=1, about=about)])["turned0"]
        angle[degrees] = found
    told = [len(set(found.values())) for found in angle.values()]
    # Words are heard within 10 degrees of three borders, 60 degrees of 180, and only for one of the two neighbours.
    assert set(told) == {1, 2}
    assert 12 <= sum(n == 2 for n in told) <= 18
    assert {found[""] for found in angle.values()} == {"2ch", "3ch", "4ch"}


def test_single_short_axis_slice_is_known_beside_its_stack_only():
    planes = studies.prescribed(8)
    alone = studies.taken("one", [planes["sax"][4]], phases=1)
    assert views(alone) == {"one0": "other"}
    assert views([studies.taken("one", [planes["sax"][4]], 1, about="SAX")[0]]) == {"one0": "sax"}
    cine = studies.taken("cine", planes["sax"], phases=2)
    assert views([*alone, *cine]) == {"one0": "sax", "cine0": "sax"}


@pytest.mark.parametrize("towards", np.eye(3))
@pytest.mark.parametrize("beside", [False, True])
def test_scouts_are_other_views(towards, beside):
    scout = studies.taken("scout", [facing(towards, (0, 0, 10.0 * i)) for i in range(1 if towards[2] else 3)], phases=1)
    rest = [each for own in studies.whole_study(8, phases=1).values() for each in own] if beside else []
    assert views([*scout, *rest])["scout0"] == "other"
    localiser = [replace(each, image=each.image._replace(about="localizer")) for each in scout]
    assert views([*localiser, *rest])["scout0"] == "other"


@pytest.mark.parametrize("about", ["", "PD TSE"])
def test_stacks_of_other_organs_are_other_views(about):
    oblique = Rotation.from_rotvec([0.1, 0.2, -0.1]).as_matrix()
    for towards in oblique:
        planes = [facing(towards, 4.0 * i * towards) for i in range(20)]
        assert views(studies.taken("knee", planes, phases=1, about=about)) == {"knee0": "other"}


def test_planes_that_turn_about_the_axis_bear_the_names_of_the_usual_ones_once():
    planes, heart = studies.prescribed(8), draw_subject(0, 8)
    middle = heart.origin + 0.45 * heart.heart.ventricles.length * heart.axes[2]
    turns = [Rotation.from_rotvec(np.radians(15 * i) * heart.axes[2]) for i in range(12)]
    radial = [facing(turn.apply(normal(planes["4ch"][0])), middle) for turn in turns]
    arranged = acquisitions(studies.taken("cine", planes["sax"], 1) + studies.taken("radial", radial, 2))
    found = Counter((p.view, p.phase) for p in arranged if p.loaded.series.files[0].name == "radial0")
    assert found == {
        (view, phase): n for view, n in {"4ch": 1, "3ch": 1, "2ch": 1, "other": 9}.items() for phase in (0, 1)
    }
    assert len({(p.study, p.view, p.slice, p.phase) for p in arranged}) == 9 + 24


def test_words_of_ultrasound_name_no_view_of_the_heart_in_magnetic_resonance():
    series = Series((Path("clip"),))
    for ultrasound, view in ((True, "other"), (False, "4ch")):
        clip = [Loaded(series, 0, studies.image(None, frame=i, about="4CH", ultrasound=ultrasound)) for i in range(3)]
        assert {p.view for p in acquisitions(clip)} == {view}


def real_series(name: str, about: str = "") -> list[list[Loaded]]:
    """Each slice of a volume as a series of two frames, as the scanner gave them."""
    volume = nibabel.load(REAL / f"{name}.nii.gz")
    lps = np.diag([-1.0, -1, 1, 1]) @ volume.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    columns, rows, slices = volume.shape[:3]
    found = []
    for place in range(slices):
        origin = (lps @ [0, 0, place, 1])[:3]
        plane = Plane(
            origin, lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1], spacing[1::-1], np.array([rows, columns])
        )
        series = Series((Path(f"{name}-{place}"),))
        found.append([Loaded(series, 0, studies.image(plane, frame=f, thickness=6.0, about=about)) for f in range(2)])
    return found


@real
@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("left_out", ["", "lax_2ch", "lax_3ch", "lax_4ch", "lax_rv2ch", "lax_rvot"])
def test_real_study_is_arranged_by_its_planes(words, left_out):
    """Its scanner calls the three-chamber view 4CH and that of the right ventricle 2CH."""
    names = {"lax_3ch": "cine_4CH", "lax_rv2ch": "cine_2CH", "sax": "cine_sax"} if words else {}
    volumes = ["lax_2ch", "lax_3ch", "lax_4ch", "lax_rv2ch", "lax_rvot", "sax"]
    kept = [name for name in volumes if name != left_out]
    images = [each for name in kept for own in real_series(name, names.get(name, "")) for each in own]
    arranged = acquisitions(images[::-1])
    found = {(p.loaded.series.files[0].name, p.view, p.slice, p.slices, p.ordered) for p in arranged}
    long_axis = {(f"{name}-0", name[4:], 0, 1, True) for name in kept if name != "sax"}
    assert found == long_axis | {(f"sax-{5 - i}", "sax", i, 6, True) for i in range(6)}
    assert {p.study for p in arranged} == {""}
