"""A split that is written is the one that is trained with, whole or in its subsets and shifts, and nobody leaks."""

import dataclasses
import json
from collections import Counter
from itertools import pairwise

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from jaxssl import config
from jaxssl.cli import main
from jaxssl.data.divide import Division, divide, values_of
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data, open_source
from jaxssl.data.splitfile import PARTS, read_split
from jaxssl.data.splits import label_subset, split
from jaxssl.data.store import Store, write
from jaxssl.errors import UserError

LAYOUT = Layout((8, 8), 4.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Thirty subjects of vendors A to D, one of them of none known."""
    path = tmp_path_factory.mktemp("split") / "store"
    base = list(samples.records(subjects=1, slices=1, phases=2))
    records = [
        dataclasses.replace(r, subject=f"s{n:02d}", study=f"s{n:02d}", labels={"vendor": "ABCD"[n % 4]} if n else {})
        for n in range(30)
        for r in base
    ]
    return write(records, path, name="many", description="Random (synthetic).", licence="none", synthetic=True)


@pytest.fixture(scope="module")
def folder(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "splits"
    words = ["data", "split", str(store.path), "--out", str(out), "--by", "vendor", "--sizes", "5", "9", "40"]
    assert main([*words, "--shift", "vendor=A,B", "phase"]) == 0
    return out


def test_all_files_are_there_and_the_same_command_makes_the_same(store, folder):
    names = {path.stem for path in folder.iterdir()}
    assert names == {
        "split",
        *(f"subset-{size}-seed{seed}" for size in (5, 9) for seed in range(3)),
        *(f"vendor-{a}-to-{b}" for a in ("A+B", "C+D") for b in ("A+B", "C+D")),
        "phase-ED",
        "phase-ES",
    }
    wish = Division(by="vendor", sizes=(5, 9, 40), shifts=("vendor=A,B", "phase"))
    again = divide(store, values_of(store), wish)
    assert {name: read_split(folder / f"{name}.json") for name in names} == again


@pytest.mark.parametrize(("fractions", "said"), [((), True), (("--fractions", ".4", ".3", ".3"), False)])
def test_parts_that_are_too_few_to_show_anything_are_said(fractions, said, store, tmp_path, capsys):
    assert main(["data", "split", str(store.path), "--out", str(tmp_path / "splits"), *fractions]) == 0
    words = " ".join(capsys.readouterr().err.split())
    assert "by vendor" not in words
    assert ("3 validation subjects to choose by: fewer than 6 can show no difference; --fractions" in words) == said
    assert "test subjects to ask" not in words


def test_who_has_which_value_is_said_of_each_part(store, tmp_path, capsys):
    """A class that nobody in a part has cannot be judged there."""
    words = ["data", "split", str(store.path), "--out", str(tmp_path / "splits"), "--by", "vendor"]
    assert main([*words, "--fractions", ".8", ".04", ".16"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    counts = json.loads((tmp_path / "splits" / "split.json").read_text())["strata"]["vendor"]
    assert sum(counts["validation"].values()) == 1
    for part, count in counts.items():
        assert f"{part}, by vendor: {', '.join(f'{number} {value}' for value, number in count.items())}" in said


def test_the_whole_split_is_the_stratified_one(store, folder):
    vendors = {f"s{n:02d}": "ABCD"[n % 4] for n in range(1, 30)}
    whole = read_split(folder / "split.json")
    assert whole.parts == split([f"s{n:02d}" for n in range(30)], strata=vendors)
    written = json.loads((folder / "split.json").read_text())
    counted = Counter(vendors.get(who, "unknown") for who in whole.parts.train)
    assert written["strata"]["vendor"]["train"] == counted
    assert (written["seed"], written["fingerprint"], written["store"]) == (0, store.fingerprint, "many")


def test_subsets_differ_by_seed_are_nested_and_keep_the_test_subjects(folder):
    whole = read_split(folder / "split.json").parts
    small, large = ([read_split(folder / f"subset-{size}-seed{seed}.json") for seed in range(3)] for size in (5, 9))
    for seed, (few, more) in enumerate(zip(small, large, strict=True)):
        assert (len(few.parts.train), len(more.parts.train)) == (5, 9)
        assert set(few.parts.train) < set(more.parts.train) < set(whole.train)
        assert (few.parts.test, few.parts.validation) == (whole.test, whole.validation)
        assert few.subset_seed == more.subset_seed == seed
    assert len({few.parts.train for few in small}) == 3


def test_a_shift_trains_on_some_values_and_tests_on_the_others_within_the_split(folder):
    whole = read_split(folder / "split.json").parts

    def vendors(subjects):
        return {"ABCD"[int(who[1:]) % 4] if who != "s00" else None for who in subjects}

    for train in ("A+B", "C+D"):
        for test in ("A+B", "C+D"):
            parts = read_split(folder / f"vendor-{train}-to-{test}.json").parts
            assert vendors((*parts.train, *parts.validation)) <= set(train)
            assert vendors(parts.test) == {test[0], test[2]}
            assert set(parts.train) <= set(whole.train)
            assert set(parts.test) <= set(whole.test)


@given(
    seed=st.integers(0, 2**31),
    counts=st.lists(st.integers(0, 12), min_size=4, max_size=4).filter(lambda c: sum(c) >= 10),
    sizes=st.lists(st.integers(1, 30), max_size=3),
)
def test_any_division_is_disjoint_complete_nested_and_fair(store, seed, counts, sizes):
    values = {f"{v}{i}": {"vendor": v} for v, count in zip("ABCD", counts, strict=True) for i in range(count)}
    files = divide(store, values, Division(seed=seed, by="vendor", sizes=tuple(sizes), seeds=2))
    whole = files["split"].parts
    assert sorted([*whole.train, *whole.validation, *whole.test]) == sorted(values)
    total = Counter(who[0] for who in values)
    for part in (whole.train, whole.test):
        for vendor, size in total.items():
            assert abs(sum(who[0] == vendor for who in part) - size * len(part) / len(values)) < 1
    assert {name for name in files if name != "split"} == {
        f"subset-{size}-seed{k}" for size in sizes if size <= len(whole.train) for k in range(2)
    }
    for k in range(2):
        chain = [set(files[f"subset-{n}-seed{k}"].parts.train) for n in sorted(set(sizes)) if n <= len(whole.train)]
        assert all(a < b for a, b in pairwise(chain))
        assert all(subset <= set(whole.train) for subset in chain)
    assert (
        divide(store, dict(reversed(values.items())), Division(seed=seed, by="vendor", sizes=tuple(sizes), seeds=2))
        == files
    )


def data(store, **options) -> Data:
    return Data(store=str(store.path), layout=LAYOUT, views=("sax", "4ch"), **options)


def subjects_of(source, rows) -> set[str]:
    return {source.cache.names["subject"][code] for code in source.cache.table["subject"][rows]}


@pytest.mark.parametrize("name", ["split", "subset-5-seed2", "vendor-A+B-to-C+D", "phase-ES"])
def test_a_source_trains_on_those_of_the_file_and_nobody_else(store, folder, name):
    file = folder / f"{name}.json"
    source = open_source(data(store, split=str(file)))
    plan = source.training_plan()
    drawn = {who for epoch in range(3) for who in subjects_of(source, plan.draw(0, epoch).rows)}
    written = json.loads(file.read_text())
    assert drawn == set(written["train"])
    assert not drawn & {*written["test"], *written["validation"]}
    assert [list(getattr(source.split, part)) for part in PARTS] == [written[part] for part in PARTS]
    if name == "phase-ES":
        rows = plan.draw(0, 0).rows
        assert {source.cache.names["moment"][code] for code in source.cache.table["moment"][rows]} == {"ES"}
    if name.startswith("subset"):
        assert source.options.subset_seed == 2


def test_fewer_subjects_may_be_taken_of_a_file_and_without_one_nothing_changes(store, folder):
    train = read_split(folder / "split.json").parts.train
    source = open_source(data(store, split=str(folder / "split.json"), subjects=4, subset_seed=1))
    assert source.training_subjects == label_subset(train, 4, 1)
    everyone = [f"s{n:02d}" for n in range(30)]
    assert open_source(data(store, split_seed=5)).split == split(everyone, seed=5)


def test_a_split_has_a_name_that_changes_with_who_is_where_and_when(store, folder, tmp_path):
    """Not with the order or the repetition of names, nor with what else the file says."""
    content = json.loads((folder / "split.json").read_text())

    def name(**change) -> str:
        (tmp_path / "mine.json").write_text(json.dumps({**content, **change}))
        return open_source(data(store, split=str(tmp_path / "mine.json"))).split_fingerprint

    train, test = content["train"], content["test"]
    whole = open_source(data(store, split=str(folder / "split.json"))).split_fingerprint
    same = [name(), name(train=train[::-1]), name(test=[*test, test[0]]), name(strata={})]
    others = [name(train=train[1:]), name(test=test[1:]), name(train=train[1:], test=[*test, train[0]])]
    others.append(name(moments=["ES"]))
    assert set(same) == {whole}
    assert len({whole, *others}) == 5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fingerprint": "0" * 16}, "is a split of many 0000000000000000"),
        ({"train": ["s01", "stranger"]}, "names 'stranger', who is not in"),
        ({"train": []}, "leaves nobody to train on"),
        ({"train": ["s01"], "test": ["s01"]}, "'s01' is in train and in test"),
        ({"test": "s01"}, "is no split"),
        ({"train": [1]}, "is no split"),
        ({"moments": ["diastole"]}, "is no split"),
        ({"store": None}, "is no split"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(change, sentence, store, folder, tmp_path):
    content = json.loads((folder / "split.json").read_text())
    (tmp_path / "mine.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(UserError, match=sentence):
        open_source(data(store, split=str(tmp_path / "mine.json")))


def test_options_that_contradict_a_file_are_refused(store, folder):
    with pytest.raises(UserError, match=r"leave data\.fractions and data\.split_seed"):
        config.check(data(store, split="x.json", split_seed=1))
    with pytest.raises(UserError, match=r"leave data\.moments none"):
        open_source(data(store, split=str(folder / "phase-ES.json"), moments=("ED",)))
    with pytest.raises(UserError, match="There is no split nowhere"):
        open_source(data(store, split="nowhere"))
    with pytest.raises(UserError, match=r"is a folder of splits: name one of them, as .*split\.json"):
        open_source(data(store, split=str(folder)))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--by", "age"], "has no label 'age'; it has vendor"),
        (["--shift", "vendor"], "write phase, or a label and values"),
        (["--shift", "vendor=E"], "vendor is never 'E'; it is A, B, C, D"),
        (["--shift", "vendor=A,B,C,D"], "names all values of vendor"),
        (["--seed", "-1"], "--seed and --seeds must be at least 0"),
        (["--sizes", "0"], "--sizes at least 1"),
        (["--fractions", "0.5", "0.1", "0.1"], "add up to 1"),
    ],
)
def test_wishes_that_cannot_be_are_refused_and_nothing_is_written(words, sentence, store, tmp_path, capsys):
    assert main(["data", "split", str(store.path), "--out", str(tmp_path / "a"), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(store, folder, capsys):
    assert main(["data", "split", str(store.path), "--out", str(folder)]) == 2
    assert "exists already" in capsys.readouterr().err
