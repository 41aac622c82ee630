"""The real samples, where JAXSSL_DATA in the environment names their folder; they are never part of the project."""

import csv
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxssl.data.datasets import set_of
from jaxssl.data.record import Record
from jaxssl.geometry import TOWARDS_APEX, normal

pytestmark = pytest.mark.skipif("JAXSSL_DATA" not in os.environ, reason="JAXSSL_DATA names no folder of samples")

DATA = Path(os.environ.get("JAXSSL_DATA", "")).absolute()
RV, MYO, LV = 1, 2, 3


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def part(table: Path, to: Path, step: int = 1, word: str = "") -> Path:
    """A copy of a sample whose table has every `step`th row with that word only, and links to the files of those."""
    header, *lines = table.read_text().splitlines()
    lines = [line for line in lines if word in line][::step]
    (to / table.name).write_text("\n".join([header, *lines]))
    named = {Path(cell).name for line in lines for cell in line.split(",")}
    for file in table.parent.glob("*/*"):
        if {file.name, file.name.partition("_E")[0]} & named:
            (to / file.parent.name).mkdir(exist_ok=True)
            (to / file.parent.name / file.name).symlink_to(file)
    return to


def of_size(record: Record, code: int) -> float:
    """Of a structure in an image, in mm²."""
    return np.count_nonzero(record.mask == code) * float(np.prod(record.plane.spacing))


def test_everyone_of_acdc_is_listed(listed: Callable):
    subjects = listed(set_of("acdc"), DATA / "acdc")
    assert list(subjects) == sorted(row["subject"] for row in rows(DATA / "acdc" / "subjects.csv"))
    groups = Counter(subject.series[0].labels["group"] for subject in subjects.values())
    assert groups == dict.fromkeys(("NOR", "DCM", "HCM", "MINF", "RV"), 14)


def test_acdc_has_the_volumes_of_its_table_and_runs_from_base_to_apex(made: Callable, tmp_path: Path):
    """The volume of the LV to 1 ml where slices are 10 mm apart; the base has more of the RV in ED and in ES."""
    table = DATA / "acdc" / "subjects.csv"
    about, compared = {row["subject"]: row for row in rows(table)}, 0
    for name, records in made(set_of("acdc"), part(table, tmp_path, step=6)).items():
        slices, apart = int(about[name]["n_slices"]), float(about[name]["spacing_z_mm"])
        assert len(records) == 2 * slices
        for moment, volume in (("ED", "lv_edv_ml"), ("ES", "lv_esv_ml")):
            own = sorted((r for r in records if r.moment == moment), key=lambda r: r.slice)
            assert [r.slice for r in own] == list(range(slices))
            assert all(r.ordered and r.view == "sax" for r in own)
            right = [of_size(r, RV) for r in own]
            assert sum(right[: slices // 2]) > sum(right[-(slices // 2) :])
            if apart == 10:
                ml = sum(of_size(r, LV) for r in own) * apart / 1000
                assert ml == pytest.approx(float(about[name][volume]), abs=1)
                compared += 1
    assert compared >= 12


def test_heads_have_the_circumference_of_their_table(made: Callable, tmp_path: Path):
    """Of the ellipse with the moments of the mask, in the mm of its spacing (Ramanujan's formula): within 3 %."""
    table = DATA / "hc18" / "hc18.csv"
    about = rows(table)
    assert len(about) == 752
    found = made(set_of("hc18"), part(table, tmp_path, step=20))
    assert set(found) == {row["subject"] for row in about[::20]}
    measured = sorted(circumference(record) for records in found.values() for record in records)
    told = sorted(float(row["head_circumference_mm"]) for row in about[::20])
    np.testing.assert_allclose(measured, told, rtol=0.03)


def circumference(record: Record) -> float:
    y, x = np.argwhere(record.mask).T
    a, b = 2 * np.sqrt(np.linalg.eigvalsh(np.cov([y, x]))) * record.plane.spacing
    return float(np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b))))


def test_breasts_twice_in_the_sample_are_one_subject(made: Callable, tmp_path: Path):
    assert len(rows(DATA / "busi" / "busi.csv")) == 683
    source = part(DATA / "busi" / "busi.csv", tmp_path, word="6.png")
    kind, about = set_of("busi"), rows(source / "busi.csv")
    subjects = list(kind.subjects(source))
    of_file = {series.files[0]: subject.name for subject in subjects for series in subject.series}
    assert len(of_file) == len(about)
    again = [path for path in of_file if path.parent.name == "pairs" and source / "images" / path.name in of_file]
    assert len(again) >= 5
    assert all(of_file[path] == of_file[source / "images" / path.name] for path in again)
    records = [record for own in made(kind, source).values() for record in own]
    assert sum(record.mask is not None for record in records) == sum(bool(row["mask"]) for row in about)
    for record in records:
        if record.mask is not None:
            assert record.mask.any() == (record.labels["group"] != "normal")


def test_clips_of_lungs_are_whole_and_those_of_one_person_together(made: Callable, tmp_path: Path):
    """Of the person of case 3 there are healthy and ill clips, which must not lie on two sides of a split."""
    table = DATA / "pocus_lung" / "frames.csv"
    clips = Counter(row["clip"] for row in rows(table))
    assert (len(clips), clips.total()) == (118, 593)
    subjects = list(set_of("pocus").subjects(table.parent))
    whose = {series.study: subject.name for subject in subjects for series in subject.series}
    assert {series.study: len(series.files) for subject in subjects for series in subject.series} == clips
    assert len(subjects) == 86
    for one, other in (
        ("Pneu_liftl_pneu_case3_clip3", "Reg_liftl_pneucase3_clip1"),
        ("Vir_or_Pneu_prospective_file4", "Vir_prospective_file1"),
        ("Reg_pat4Image_140024", "Reg_pat4Image_140705"),
    ):
        assert whose[one] == whose[other]
    found = made(set_of("pocus"), part(table, tmp_path, step=7))
    for own in found.values():
        for study in {r.study for r in own}:
            frames = [r for r in own if r.study == study]
            assert [r.phase for r in frames] == list(range(len(frames)))
            assert frames[0].labels["licence"]


def test_a_study_with_geometry_comes_as_a_folder(made: Callable, tmp_path: Path):
    """Five long axes and a short-axis stack, whose slices run to the apex; labels beside, frame by frame."""
    for path in (DATA / "bivme_patient1").glob("*.nii.gz"):
        (tmp_path / path.name).symlink_to(path)
    (records,) = made(set_of("folder"), tmp_path).values()
    views = Counter(record.view for record in records)
    assert views == {"sax": 150, **dict.fromkeys(("2ch", "3ch", "4ch", "rv2ch", "rvot"), 25)}
    stack = sorted((r for r in records if r.view == "sax" and r.phase == 0), key=lambda r: r.slice)
    depth = [float(r.plane.origin @ normal(r.plane) * np.sign(normal(r.plane) @ TOWARDS_APEX)) for r in stack]
    np.testing.assert_allclose(np.diff(depth), 17.7, atol=0.01)
    assert [r.ordered for r in stack] == [True] * 6
    beat = [sum(of_size(r, LV) for r in records if r.view == "sax" and r.phase == phase) for phase in range(25)]
    assert beat[0] * 17.7 / 1000 == pytest.approx(186, rel=0.15)
    assert np.argmin(beat) in range(7, 14)
    assert all((of_size(r, LV) > 0) == (r.view not in ("rv2ch",)) for r in records if r.view != "sax" and r.phase == 0)
