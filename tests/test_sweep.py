"""A study says the same wherever it is read, and one that contradicts itself is refused in a sentence."""

from dataclasses import replace
from pathlib import Path

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as some

from jaxssl.data.splitfile import SplitFile
from jaxssl.data.splits import Split
from jaxssl.data.store import write
from jaxssl.errors import UserError
from jaxssl.sweep import CommonSetting, Point, Stage, Within, in_order, load_study, select

BEGINNING = "from jaxssl.sweep import Point, Stage\ncine = Stage('phantom', 'cine')\ndef sweep(scale='smoke'):\n"


def test_equal_stages_are_one_and_all_that_a_stage_says_is_in_its_name():
    def tuned(rate: float = 0.1, subjects: int = 4, label: str = "", file: str = "split.json") -> Stage:
        hearts = Stage("phantom", "cine", {"subjects": subjects})
        options = {"data.store": hearts, "optim.lr": rate, "data.split": Within(Stage("split", hearts), file)}
        return Stage("finetune", "segment:tiny", options, label)

    assert tuned().key == tuned().key == tuned(label="another").key
    assert tuned(label="a point/of 2").name.startswith("a-point-of-2-")
    assert len({stage.key for stage in (tuned(), tuned(rate=0.2), tuned(subjects=5), tuned(file="other.json"))}) == 4
    assert [stage.verb for stage in in_order([tuned(), tuned()])] == ["phantom", "split", "finetune"]


def test_what_asks_a_run_writes_into_its_folder(tmp_path):
    trained = Stage("pretrain", "mim")
    asked = Stage("probe", trained, {"target": "vendor"})
    assert asked.folder(tmp_path) == trained.folder(tmp_path) == tmp_path / "runs" / trained.name
    assert asked.name != trained.name


@given(count=some.integers(1, 40), jobs=some.integers(1, 9))
def test_jobs_divide_the_points_exactly(count, jobs):
    points = [Point(f"p{n}", (Stage("phantom", "cine", {"subjects": n + 1}),)) for n in range(count)]
    shares = [select(points, only=f"{job}/{jobs}") for job in range(jobs)]
    assert sorted(point.name for share in shares for point in share) == sorted(point.name for point in points)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return []", "yields no point; have it yield at least one"),
        ("return [Point('a', (cine,)), Point('a', (cine,))]", "two points 'a'"),
        ("return [Point('a', ())]", "point a has no stage"),
        ("return [Point('a', (Stage('pretrian', 'mim'),))]", "'pretrian' cannot be a stage; the nearest is 'pretrain'"),
        ("return [Point('a', (Stage('probe', 'runs/a'),))]", "asks a run of this sweep"),
        ("return [Point('a', (cine, Stage('phantom', 'cine', label='b')))]", "one stage under two labels"),
        (
            "m = Stage('pretrain', 'mim'); return [Point('a', (Stage('bench', m), Stage('bench', m, {'rounds': 2})))]",
            "times pretrain-mim-.* in two ways",
        ),
        ("return [Point('a', (Stage('pretrain', 'mim', {'a.b': object()}),))]", "plain values, paths and stages"),
        ("return 1 / 0", r"failed \(ZeroDivisionError: .*\); mend the file"),
    ],
)
def test_a_study_that_contradicts_itself_is_refused(body, sentence, tmp_path):
    study = tmp_path / "study.py"
    study.write_text(BEGINNING + f"    {body}\n")
    with pytest.raises(UserError, match=sentence):
        load_study(study).points({})


@pytest.mark.parametrize(
    ("pattern", "nearest"),
    [
        ("mimm/*", "mim/5-labelled/seed-0"),
        ("*/5-labeled/*", "mim/5-labelled/seed-0"),
        ("simclr/al/*", "simclr/all/1"),
        ("pcl/*", "equal-images/pcl/2-labelled/seed-0"),
    ],
)
def test_of_points_that_are_not_there_the_nearest_is_named(pattern, nearest):
    own = ("a/1", "mim/5-labelled/seed-0", "mim-encoder-only/5-labelled/seed-0", "simclr/all/1")
    names = (*own, *(f"equal-images/{method}/2-labelled/seed-0" for method in ("mae", "pcl")))
    with pytest.raises(UserError, match=f"the nearest of the 6 is '{nearest}'"):
        select([Point(name, (Stage("phantom", "cine"),)) for name in names], [pattern])


def test_a_setting_takes_the_data_that_are_given_or_its_phantom(tmp_path):
    hearts = Stage("phantom", "cine", {"subjects": 40})
    setting = CommonSetting(seeds=1, fractions=(0.5, 0.2, 0.3), phantoms={"hearts": hearts})
    made, taken = setting.cohort(None, None, by="group"), setting.cohort(tmp_path / "store", tmp_path / "split")
    assert made.store is hearts
    assert isinstance(made.divisions, Stage)
    assert made.divisions.of is hearts
    assert made.divisions.options == {"sizes": (), "fractions": (0.5, 0.2, 0.3), "by": "group"}
    assert (taken.store, taken.divisions) == (tmp_path / "store", tmp_path / "split")
    with pytest.raises(UserError, match="split is of a store: give --store as well"):
        setting.cohort(None, tmp_path / "split")
    with pytest.raises(UserError, match="This scale is for real data: give --store"):
        setting.cohort(None, None, "knees")


@pytest.mark.parametrize(
    ("trained", "numbers", "asked"),
    [
        (20, (5, 10, None), (5, 10, None)),
        (11, (5, 10, None), (5, 10, None)),
        (10, (5, 10, None), (5, None)),
        (5, (5, 10, None), (None,)),
        (11, (5, 10), (5, 10)),
        (10, (5, 10), (5, None)),
        (2, (5, 10), (None,)),
    ],
)
def test_no_number_of_labelled_subjects_is_asked_that_is_all_of_them_or_more(trained, numbers, asked, tmp_path):
    """All would be trained on twice under two names, and what cannot be drawn would fail."""
    names = tuple(f"s{n}" for n in range(trained))
    SplitFile("site", "0" * 16, Split(names, ("v",), ("t",))).write(tmp_path / "split.json")
    cohort = CommonSetting(seeds=1).cohort(tmp_path / "store", tmp_path)
    assert cohort.labelled(numbers) == asked
    assert CommonSetting(seeds=1).cohort(tmp_path / "store", None).labelled((5, 10, None)) == (5, 10, None)


def test_a_study_of_masks_refuses_a_store_without_any(tmp_path):
    about = {"name": "discs", "description": "Discs (synthetic).", "licence": "none"}
    bare = [replace(record, mask=None) for record in samples.records(1)]
    for records, name in ((samples.records(1), "drawn"), (bare, "bare")):
        write(records, tmp_path / name, **about)
    for study in ("cine_segmentation", "head_to_head", "throughput"):
        sweep = load_study(Path(__file__).parents[1] / "experiments" / f"{study}.py")
        assert sweep.points({"store": tmp_path / "drawn"})
        with pytest.raises(UserError, match="bare has no masks to learn from"):
            sweep.points({"store": tmp_path / "bare"})
