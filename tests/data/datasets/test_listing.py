"""A csv that lists images: what is taken from it, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from folders import names_of, picture, volume, with_rejects
from PIL import Image as Picture

from jaxssl.data.datasets import set_of
from jaxssl.errors import UserError

RNG = np.random.default_rng(0)


def table(source: Path, *rows: str, name: str = "list.csv") -> Path:
    (source / name).write_text("\n".join(rows) + "\n")
    return source / name


def test_a_csv_says_what_is_known_of_images(tmp_path: Path, made: Callable):
    images = {name: picture(tmp_path / f"{name}.png") for name in ("a", "b", "c")}
    codes = RNG.integers(0, 3, (4, 5)).astype(np.uint8)
    Picture.fromarray(codes).save(tmp_path / "b_drawn.png")
    table(
        tmp_path,
        "File,Patient,View,moment,mask,Pixel_Size,group,machine",
        "a.png,ann,4ch,,,0.5,sick,one",
        "b.png,bob,2ch,ed,b_drawn.png,0.5 0.25,,two",
        "c.png,ann,,,,,sick,",
    )
    found = made(set_of("folder", labels=("group", "machine")), tmp_path)
    assert list(found) == ["ann", "bob"]
    (bob,) = found["bob"]
    np.testing.assert_array_equal(bob.image[..., 0], images["b"])
    np.testing.assert_array_equal(bob.mask, codes)
    np.testing.assert_array_equal(bob.plane.spacing, (0.5, 0.25))
    assert (bob.view, bob.moment, bob.labels) == ("2ch", "ED", {"machine": "two"})
    first, second = sorted(found["ann"], key=lambda record: record.view)
    np.testing.assert_array_equal(first.plane.spacing, (0.5, 0.5))
    assert (first.view, first.labels) == ("4ch", {"group": "sick", "machine": "one"})
    assert (second.view, second.labels) == ("other", {"group": "sick"})
    assert np.isnan(second.plane.spacing).all()
    np.testing.assert_array_equal(second.image[..., 0], images["c"])


def test_rows_of_a_csv_that_are_refused(tmp_path: Path):
    source = tmp_path / "in"
    for path in (tmp_path / "secret.png", source / "a.png", source / "b.png", source / "c.png", source / "d.png"):
        picture(path)
    (source / "link.png").symlink_to(tmp_path / "secret.png")
    (source / "round.png").symlink_to("round.png")
    (source / "sub").mkdir()
    csv = table(
        source,
        "file,subject,moment,spacing,mask",
        "a.png,p,,,",
        "./a.png,q,,,",
        "../secret.png,p,,,",
        "link.png,p,,,",
        "round.png,p,,,",
        f"{tmp_path / 'secret.png'},p,,,",
        "gone.png,p,,,",
        "sub,p,,,",
        "b.png,p,systole,,",
        "c.png,p,,-1,",
        "d.png,p,,,../secret.png",
        ",p,,,",
        "e.png,,,,",
    )
    reasons = []
    kind = set_of("folder")
    (subject,) = kind.subjects(source, lambda path, reason: reasons.append((path.name, reason)))
    assert (subject.name, names_of(subject)) == ("p", [["a.png"]])
    assert reasons == [
        ("a.png", "row 3 of list.csv names it again"),
        ("secret.png", "row 4 of list.csv names secret.png, which lies outside the source"),
        ("link.png", "row 5 of list.csv names link.png, which lies outside the source"),
        ("round.png", f"row 6 of list.csv names round.png, which is not in {source.name}"),
        ("secret.png", "row 7 of list.csv names secret.png, which lies outside the source"),
        ("gone.png", f"row 8 of list.csv names gone.png, which is not in {source.name}"),
        ("sub", "row 9 of list.csv names sub, which is no file"),
        ("b.png", "row 10 of list.csv has the moment 'systole', which is neither ED nor ES"),
        ("c.png", "row 11 of list.csv has the spacing '-1', which is no size in mm"),
        ("d.png", "row 12 of list.csv names secret.png, which lies outside the source"),
        (csv.name, "row 13 of list.csv names no file, or no subject"),
        ("e.png", "row 14 of list.csv names no file, or no subject"),
    ]


def test_of_columns_nobody_named_only_usual_ones_are_labels(tmp_path: Path):
    """Whatever else a table has may say who somebody is, in any language."""
    for number in range(3):
        picture(tmp_path / f"{number}.png")
    table(
        tmp_path,
        "file,subject,Geburtsdatum,physician,ssn,remarks,Group",
        "0.png,s0,03.02.1955,Dr House,078-05-1120,call Mrs Doe,a",
        "1.png,s1,04.02.1955,Dr House,078-05-1121,,a",
        "2.png,s2,05.02.1955,Dr House,078-05-1122,,b",
    )
    subjects, rejects = with_rejects(set_of("folder"), tmp_path)
    assert [dict(subject.series[0].labels) for subject in subjects] == [{"Group": "a"}, {"Group": "a"}, {"Group": "b"}]
    left = "its columns Geburtsdatum, physician, ssn, remarks are left out: name those that are labels by --labels"
    assert rejects == {"list.csv": left}


def test_a_label_with_a_date_or_a_long_number_is_none_even_if_it_is_named(tmp_path: Path):
    for number in range(2):
        picture(tmp_path / f"{number}.png")
    table(tmp_path, "file,subject,ward,seen,number", "0.png,s0,3,2019-05-03,1", "1.png,s1,4,,4711812")
    subjects, rejects = with_rejects(set_of("folder", labels=("ward", "seen", "number")), tmp_path)
    assert [dict(subject.series[0].labels) for subject in subjects] == [{"ward": "3"}, {"ward": "4"}]
    assert rejects == {"list.csv": "its columns seen, number may say who somebody is, and are no labels"}
    with pytest.raises(UserError, match=r"has no column 'wart' that could be a label; it has ward, seen, number"):
        list(set_of("folder", labels=("wart",)).subjects(tmp_path))


def test_paths_of_a_csv_that_lies_elsewhere_are_from_the_source(tmp_path: Path):
    (tmp_path / "scans").mkdir()
    picture(tmp_path / "scans" / "a.png")
    csv = table(tmp_path, "file,subject", "a.png,p")
    (subject,), rejects = with_rejects(set_of("folder", tables=[csv]), tmp_path / "scans")
    assert (names_of(subject), rejects) == ([["a.png"]], {})


def test_which_csv_lists_the_images(tmp_path: Path, listed: Callable):
    """One without a column for files is none, and volumes go without; of several the user names one."""
    volume(tmp_path / "p1.nii.gz", 2)
    table(tmp_path, "name,age", "ada,4", name="people.csv")
    subjects, rejects = with_rejects(set_of("folder"), tmp_path)
    assert ([subject.name for subject in subjects], list(rejects)) == (["p1"], ["people.csv"])
    one = table(tmp_path, "file,subject", "p1.nii.gz,one", name="one.csv")
    assert list(listed(set_of("folder"), tmp_path)) == ["one"]
    table(tmp_path, "path,subject", "p1.nii.gz,two", name="two.csv")
    with pytest.raises(UserError, match=r"several tables, one\.csv, two\.csv, though one lists all"):
        list(set_of("folder").subjects(tmp_path))
    assert list(listed(set_of("folder", tables=[one]), tmp_path)) == ["one"]
    with pytest.raises(
        UserError, match=r"people\.csv has no column file or image or .* nor subject or .*, but name, age"
    ):
        list(set_of("folder", tables=[tmp_path / "people.csv"]).subjects(tmp_path))


def test_images_that_a_csv_does_not_list_are_told(tmp_path: Path):
    for name in ("a", "b", "a_drawn"):
        picture(tmp_path / f"{name}.png")
    table(tmp_path, "file,subject,mask", "a.png,p,a_drawn.png")
    subjects, rejects = with_rejects(set_of("folder"), tmp_path)
    assert [names_of(subject) for subject in subjects] == [[["a.png"]]]
    assert rejects == {"b.png": "neither a table nor the layout of the set tells whose it is"}


def stack(records: list) -> list[tuple]:
    return sorted((r.view, r.slice, r.slices, r.phase, r.phases, r.moment, int(r.image[0, 0, 0])) for r in records)


def test_the_files_of_a_study_in_a_csv_are_one_stack(tmp_path: Path, made: Callable):
    """By slice and phase; by moment where the table has nothing else; by nothing where it has no order."""
    for value in range(6):
        Picture.fromarray(np.full((4, 5), value, np.uint8) + np.eye(4, 5, 1, np.uint8)).save(tmp_path / f"{value}.png")
    rows = [(5, 1, 2, "ES"), (4, 1, 1, ""), (3, 1, 0, "ED"), (2, 0, 2, "ES"), (1, 0, 1, ""), (0, 0, 0, "ED")]
    path = table(
        tmp_path, "file,subject,study,view,slice,phase,moment", *[f"{v}.png,p,s,sax,{z},{t},{m}" for v, z, t, m in rows]
    )
    (records,) = made(set_of("folder"), tmp_path).values()
    assert stack(records) == [("sax", v // 3, 2, v % 3, 3, {0: "ED", 2: "ES"}.get(v % 3, ""), v) for v in range(6)]
    assert len({r.study for r in records}) == 1
    assert not any(r.ordered for r in records)
    table(tmp_path, "file,subject,study,view,moment", *[f"{v}.png,p,s,sax,{'ED' if v % 2 else 'ES'}" for v in range(6)])
    (records,) = made(set_of("folder", tables=[path]), tmp_path).values()
    assert stack(records) == [
        ("sax", z, 3, t, 2, m, 2 * z + 1 - t) for z in range(3) for t, m in enumerate(("ED", "ES"))
    ]
    table(tmp_path, "file,subject,study,view", *[f"{v}.png,p,s,sax" for v in range(6)])
    (records,) = made(set_of("folder"), tmp_path).values()
    assert {(r.slices, r.phases) for r in records} == {(1, 1)}


def test_labels_and_masks_of_a_stack_in_a_csv(tmp_path: Path):
    for name in ("a", "b", "b_drawn"):
        picture(tmp_path / f"{name}.png")
    table(
        tmp_path, "file,subject,study,slice,mask,group,quality", "b.png,p,s,1,b_drawn.png,x,good", "a.png,p,s,0,,x,bad"
    )
    (subject,), rejects = with_rejects(set_of("folder"), tmp_path)
    (series,) = subject.series
    assert ([path.name for path in series.files], series.labels) == (["a.png", "b.png"], {"group": "x"})
    assert series.masks(0, 0, 0, (4, 5)) is None
    assert series.masks(1, 0, 0, (4, 5)) is not None
    assert rejects == {"a.png": "quality differ within its study s: no labels of that stack, the images kept"}
    table(tmp_path, "file,subject,study,slice", "a.png,p,s,first", "b.png,p,s,1")
    assert with_rejects(set_of("folder"), tmp_path)[1]["a.png"] == (
        "row 2 of list.csv has the slice 'first', which is no number"
    )


def test_a_csv_of_something_else_stops_nothing(tmp_path: Path, listed: Callable):
    volume(tmp_path / "p1.nii.gz", 2)
    table(tmp_path, "image,weight", "p1.nii.gz,80", name="weights.csv")
    subjects, rejects = with_rejects(set_of("folder"), tmp_path)
    assert ([subject.name for subject in subjects], list(rejects)) == (["p1"], ["weights.csv"])
