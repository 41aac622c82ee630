"""What a pretraining gains against the number of labelled subjects, and what it cost, are those of the files."""

import json

import numpy as np
import pytest

from jaxssl.reporting import charts, read, write_report
from jaxssl.reporting.arms import arms
from jaxssl.reporting.cost import cost
from jaxssl.reporting.gains import gains

TUNED = {"verb": "finetune", "method": "segment", "parts": ("evaluation",)}


def with_options(folder, **options):
    recipe = json.loads((folder / "recipe.json").read_text())
    for name, value in options.items():
        room, key = name.split("__")
        recipe.setdefault(room, {})[key] = value
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder


def timed(folder, *speeds):
    lines = [{"step": 10 * place, "images_per_second": speed} for place, speed in enumerate(speeds, 1)]
    (folder / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return with_options(folder, train__batch=32)


def tuned(make_run, name, labelled, **about):
    return with_options(make_run(name, labelled=labelled, **TUNED, **about), data__subjects=labelled)


@pytest.fixture
def study(make_run):
    """Two pretrainings and a start from scratch, at two numbers of labelled subjects."""
    folders = [
        timed(make_run("a", parts=()), 0.5, 64.0, 64.0),
        timed(with_options(make_run("b", method="mim", parts=()), train__steps=50), 0.5, 16.0, 32.0, 16.0),
    ]
    for labelled in (4, 16):
        folders.append(tuned(make_run, f"scratch-{labelled}", labelled, level=0.7 + labelled / 200))
        for start, gain in (("a", 0.05), ("b", 0.02)):
            own = {"init": f"runs/{start}", "level": 0.7 + labelled / 200 + gain / labelled}
            folders.append(tuned(make_run, f"from-{start}-{labelled}", labelled, **own))
    return folders


def found(folders, **tables):
    runs = read.read_runs(folders)
    return gains(runs, arms(runs), charts.styles(runs), tables)


def test_cost_is_the_median_step_without_that_which_compiles(study):
    a, b = (cost(run) for run in read.read_runs(study[:2]))
    assert (a.steps, a.images, a.step_seconds, a.seconds) == (30, 960, 0.5, 15.0)
    assert (b.steps, b.images, b.step_seconds) == (40, 1280, 2.0)


def test_cost_that_is_not_said_is_not_known(make_run):
    one = timed(make_run("one", parts=()), 64.0)
    silent, unread = make_run("silent", parts=()), timed(make_run("unread", parts=()), 1.0, 2.0)
    with_options(unread, train__batch=None)
    alone, nothing, batchless = (cost(run) for run in read.read_runs([one, silent, unread]))
    assert alone.images == 320
    assert np.isnan([alone.seconds, nothing.images, nothing.seconds, batchless.images, batchless.seconds]).all()


def test_a_line_is_of_one_pretraining_and_has_the_differences_of_the_arms(study):
    (group,) = found(study)
    assert group.labels == (4, 16)
    assert [line.name for line in group.lines] == ["simclr", "mim"]
    by_label = {arm.label: arm for arm in arms(read.read_runs(study))}
    for line, start in zip(group.lines, "ab", strict=True):
        assert line.start is not None
        assert line.start.label == start
        for labelled in (4, 16):
            expected = by_label[f"from-{start}-{labelled}"].paired.estimate
            assert line.by_labels[labelled].paired.estimate == expected
            assert line.by_labels[labelled].paired.scratch.label == f"scratch-{labelled}"
    assert len(group.panels) == 2


def test_tables_have_the_runs_that_are_asked_for(study):
    everything = [*study]
    only_b = [folder for folder in study if "from-b" in folder.name]
    first, second = found(study, everything=everything, few=[f for f in only_b if f.name.endswith("-4")])
    assert (first.caption, len(first.lines), len(first.panels)) == ("everything", 2, 2)
    assert (second.caption, second.labels, [line.name for line in second.lines]) == ("few", (4,), ["mim"])
    assert not second.panels


def test_each_line_says_which_score_from_scratch_it_is_compared_with(study, make_run, tmp_path):
    """Another network has a start from scratch of its own; a seed that only that one has is no part of it."""
    wide = {"model__widths": "wide"}
    for labelled, level in ((4, 0.55), (16, 0.65)):
        begun = tuned(make_run, f"wide-{labelled}", labelled, init="runs/a", level=level + 0.01)
        alone = tuned(make_run, f"wide-scratch-{labelled}", labelled, level=level)
        more = tuned(make_run, f"wide-scratch-{labelled}-more", labelled, level=level + 0.2, seed=1)
        study += [with_options(folder, **wide) for folder in (begun, alone, more)]
    usual = [folder for folder in study if folder.name.startswith(("scratch", "from"))]
    for folder in usual:
        with_options(folder, model__widths="usual")
    (group,) = found(study)
    scores = {
        folder.name: np.mean(list(read.read_runs([folder])[0].judged.by_subject.values()))
        for folder in study
        if "scratch" in folder.name
    }
    text = write_report(study, tmp_path / "report.html").read_text()
    said = {}
    for line in group.lines:
        for labelled, arm in line.by_labels.items():
            own = f"{'wide-' if 'wide' in line.name else ''}scratch-{labelled}"
            assert arm.paired is not None
            assert arm.paired.against == pytest.approx(scores[own])
            assert arm.estimate.value - arm.paired.against == pytest.approx(arm.paired.estimate.value)
            said.setdefault(own, []).append(f">scratch {scores[own]:.3f}<")
    assert {own: len(each) for own, each in said.items()} == {
        "scratch-4": 2, "scratch-16": 2, "wide-scratch-4": 1, "wide-scratch-16": 1
    }  # fmt: skip
    for each in said.values():
        assert text.count(each[0]) == len(each)


def test_one_number_of_labelled_subjects_is_no_figure(study):
    assert found([folder for folder in study if not folder.name.endswith("-16")]) == []


def test_pretrainings_of_one_method_are_told_apart(study, make_run):
    longer = timed(with_options(make_run("c", parts=()), train__steps=900), 0.5, 64.0)
    more = [tuned(make_run, f"from-c-{labelled}", labelled, init="runs/c", level=0.8) for labelled in (4, 16)]
    (group,) = found([*study, longer, *more])
    names = [line.name for line in group.lines]
    assert names == ["simclr, pretraining train.steps 300", "mim", "simclr, pretraining train.steps 900"]


def test_arms_of_several_runs_that_began_otherwise_have_labels_of_their_own(make_run):
    runs = [make_run("a", parts=()), with_options(make_run("b", parts=()), train__steps=900)]
    for start in "ab":
        runs += [make_run(f"from-{start}{seed}", init=f"runs/{start}", seed=seed, **TUNED) for seed in (0, 1)]
    assert sorted(arm.label for arm in arms(read.read_runs(runs))) == [
        "simclr, 4 labelled, 2 runs, pretraining train.steps 300",
        "simclr, 4 labelled, 2 runs, pretraining train.steps 900",
    ]


def test_the_page_shows_gain_and_cost(study, tmp_path):
    text = write_report(study, tmp_path / "report.html").read_text()
    (group,) = found(study)
    gained = group.lines[0].by_labels[4].paired
    assert gained is not None
    assert f"{gained.estimate.value:+.3f}" in text
    for words in ("Gain over scratch against labels", "960", "15.0 s", "500.0 ms a step", "labelled subjects"):
        assert words in text, words
