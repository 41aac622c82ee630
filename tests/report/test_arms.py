"""Runs that differ in seeds are one arm; arms are compared subject by subject, whatever else a page shows of them."""

import itertools
import json

import numpy as np
import pytest
from repeats import dice_of, edited, runs_of
from sklearn.metrics import roc_auc_score

from jaxssl.evaluate.statistics import holm, studentised
from jaxssl.recipe import CARRYING_OUT
from jaxssl.reporting import charts, gains, tables, words, write_report
from jaxssl.reporting.arms import arms, by_input, frozen
from jaxssl.reporting.read import read_runs


def test_seeds_are_averaged_within_their_subset_before_subjects_are_compared(make_run):
    make_run("pre", parts=())
    scratch = runs_of(make_run, "scratch", level=0.75)
    tuned = runs_of(make_run, "tuned", init="runs/pre", level=0.78)
    found = arms(read_runs([*scratch, *tuned]))
    assert [(arm.origin, len(arm.runs)) for arm in found] == [("scratch", 3), ("weights of runs/pre", 3)]
    ours, theirs = ([dice_of(folder) for folder in folders] for folders in (tuned, scratch))
    by_subset = [np.stack([(own[0] + own[1]) / 2, own[2]], axis=1) for own in (ours, theirs)]
    assert found[1].estimate.value == pytest.approx(by_subset[0].mean())
    assert found[1].estimate.interval == pytest.approx(studentised(by_subset[0]))
    paired, table = found[1].paired, by_subset[0] - by_subset[1]
    assert paired is not None
    assert paired.estimate.value == pytest.approx(table.mean())
    assert paired.estimate.interval == pytest.approx(studentised(table))
    differences = table.mean(axis=1)
    flips = np.array(list(itertools.product((-1, 1), repeat=12)))
    p = np.mean(abs(flips @ differences) >= abs(differences.sum()) - 1e-12)
    assert (paired.p, paired.adjusted) == (pytest.approx(p), pytest.approx(p))


def test_arms_that_a_study_planned_apart_stay_apart_where_their_recipes_are_the_same(make_run):
    scratch, images, time = (
        runs_of(make_run, name, level=level) for name, level in (("scratch", 0.75), ("images", 0.78), ("time", 0.78))
    )
    for folder in images + time:
        edited(folder, "run.json", planned=f"study/{folder.name.partition('-')[0]}")
    found = arms(read_runs([*scratch, *images, *time]))
    assert sorted(tuple(run.folder for run in arm.runs) for arm in found) == sorted(map(tuple, (images, scratch, time)))
    assert {"images", "time"} < {arm.label for arm in found}
    for folder in time:
        edited(folder, "run.json", planned="other/images")
    assert {"study/images", "other/images"} < {arm.label for arm in arms(read_runs([*scratch, *images, *time]))}
    for folder in time:
        edited(folder, "run.json", planned="mine")
    assert "mine" in {arm.label for arm in arms(read_runs([*scratch, *time]))}


def test_what_began_apart_stands_apart_in_a_table_of_gains(make_run):
    scratch, starts = runs_of(make_run, "scratch", level=0.75), [make_run(name, parts=()) for name in ("a", "b")]
    tuned = [
        runs_of(make_run, f"from-{start.name}", init=f"runs/{start.name}", level=level)
        for start, level in zip(starts, (0.78, 0.82), strict=True)
    ]
    for folders, name in zip(tuned, ("images", "time"), strict=True):
        for folder in folders:
            edited(folder, "run.json", planned=f"study/{name}")
    folders = [*scratch, *starts, *itertools.chain(*tuned)]
    runs = read_runs(folders)
    (both,) = gains.gains(runs, arms(runs), charts.styles(runs), {"both": folders})
    found = [arm.paired.estimate.value for line in both.lines for arm in line.by_labels.values()]
    assert sorted(found) == pytest.approx([np.mean([dice_of(f) for f in own]) - np.mean([dice_of(f) for f in scratch])
                                           for own in tuned], abs=0.01)  # fmt: skip


def test_only_repeats_that_both_have_are_compared(make_run):
    scratch = runs_of(make_run, "scratch", level=0.75)
    tuned = runs_of(make_run, "tuned", init="runs/pre", level=0.78)
    found = arms(read_runs([scratch[1], *tuned]))
    paired = found[1].paired
    assert paired is not None
    assert paired.repeats == ((0, 1),)
    np.testing.assert_allclose(paired.differences, dice_of(tuned[1]) - dice_of(scratch[1]))


def test_other_options_and_other_pretrainings_are_other_arms(make_run):
    runs = [make_run("a", parts=()), make_run("b", parts=())]
    recipe = json.loads((runs[1] / "recipe.json").read_text())
    recipe["optim"]["lr"] = 5e-4
    (runs[1] / "recipe.json").write_text(json.dumps(recipe))
    runs += [
        make_run("scratch", verb="finetune", parts=("evaluation",)),
        make_run("from-a", verb="finetune", init="runs/a", parts=("evaluation",)),
        make_run("from-b", verb="finetune", init="runs/b", parts=("evaluation",), level=0.81),
        make_run("more", verb="finetune", labelled=8, parts=("evaluation",)),
    ]
    found = {arm.label: arm for arm in arms(read_runs(runs))}
    assert set(found) == {"scratch", "from-a", "from-b", "more"}
    raw = [found[name].paired.p for name in ("from-a", "from-b")]
    adjusted = [found[name].paired.adjusted for name in ("from-a", "from-b")]
    assert adjusted == pytest.approx(holm(raw))
    assert found["more"].paired is None


def test_auroc_is_of_the_files_and_swapped_by_subject(make_run):
    about = {"verb": "finetune", "method": "classify", "subjects": 30, "parts": ("evaluation",)}
    folders = [
        make_run("scratch", level=0.2, **about),
        make_run("tuned", init="runs/pre", level=0.8, **about),
    ]
    scratch, tuned = arms(read_runs(folders))
    values = []
    for arm, folder in ((scratch, folders[0]), (tuned, folders[1])):
        cases = json.loads((folder / "evaluation.json").read_text())["cases"]
        truth = [case["truth"] for case in cases]
        chances = np.array([case["probabilities"] for case in cases])
        values.append(roc_auc_score(truth, chances, multi_class="ovr"))
        assert arm.estimate.value == pytest.approx(values[-1])
        assert arm.estimate.interval.low < values[-1] < arm.estimate.interval.high
    paired = tuned.paired
    assert paired is not None
    assert paired.estimate.value == pytest.approx(values[1] - values[0])
    assert paired.estimate.interval.low > 0
    assert paired.p < 0.01


def test_distances_that_are_missing_are_counted_and_no_zero(make_run):
    (arm,) = arms(read_runs([make_run("one", verb="finetune", method="segment", parts=("evaluation",))]))
    found = tables.overlap(arm)
    assert found.missing == 1
    assert found.hd95[0].value == pytest.approx(np.mean([4.0 + place for place in range(12) if place != 1]))
    places, dice = tables.profile(arm)
    np.testing.assert_allclose(places, [0.1, 0.3, 0.5, 0.7, 0.9])
    np.testing.assert_allclose(dice, [0.8, np.nan, 0.675, np.nan, 0.55])
    volume, fraction = tables.agreements([arm])
    assert (volume.name, volume.unit, volume.found.n) == ("LV end-diastolic volume", "ml", 12)
    assert volume.found.bias.value == pytest.approx(np.mean(5.0 + np.arange(12)))
    assert fraction.found.mae.value == pytest.approx(np.mean(np.arange(12)))


def test_a_later_opening_and_a_look_at_validation_are_said(make_run, tmp_path):
    first = make_run("first", verb="finetune", parts=("evaluation",))
    again = edited(make_run("again", verb="finetune", parts=("evaluation",)), opening=2)
    looked = make_run("looked", verb="finetune", parts=("evaluation",))
    (looked / "evaluation.json").rename(looked / "validation.json")
    edited(looked, "validation.json", on="validation")
    for folder, lr in ((again, 2e-3), (looked, 3e-3)):
        recipe = json.loads((folder / "recipe.json").read_text())
        recipe["optim"]["lr"] = lr
        (folder / "recipe.json").write_text(json.dumps(recipe))
    text = write_report([first, again, looked], tmp_path / "report.html").read_text()
    assert "again is opening 2 of its test subjects" in text
    assert "Some arms were measured on validation subjects" in text
    assert "measured on 12 test subjects and 12 validation subjects." in text
    assert [(arm.label, arm.task.on) for arm in arms(read_runs([first, looked]))] == [
        ("first", "test"),
        ("looked", "validation"),
    ]


def test_the_page_shows_classes_maps_and_neighbours(make_run, tmp_path):
    runs = [
        make_run("pre"),
        make_run("diagnosis", verb="finetune", method="classify"),
        make_run("tuned", verb="finetune", method="classify", init="runs/pre", level=1.0),
        make_run("segmented", verb="finetune", method="segment"),
    ]
    text = write_report(runs, tmp_path / "report.html").read_text()
    for said in ("Reliability.", "Where classifiers look", "Nearest neighbours.", "RankMe", "Limits of agreement",
                  "Dice from base to apex", "2ch, 0.90", "0.710", "HD95 (mm)"):  # fmt: skip
        assert said in text, said


def test_how_a_run_is_carried_out_and_where_its_data_lie_makes_no_other_arm(make_run):
    facts = {"carried_out": list(CARRYING_OUT)}
    runs = [make_run(f"run{seed}", verb="finetune", seed=seed, parts=("evaluation",), extra=facts) for seed in range(2)]
    with_options(runs[0], data__split="splits/subset-4-seed0.json")
    elsewhere = {"data__store": "/elsewhere/phantom", "data__split": "splits/subset-4-seed1.json"}
    with_options(runs[1], train__log_every=7, **elsewhere)
    (arm,) = arms(read_runs(runs))
    assert len(arm.runs) == 2


def test_every_figure_of_an_arm_weighs_its_runs_alike(make_run):
    """Two seeds of a poor subset and one of a good one: the dots, the classes and the mean are of one average."""
    folders = runs_of(make_run, "uneven", level=0.5)
    raised = json.loads((folders[2] / "evaluation.json").read_text())
    entries = [{**entry, "dice": [value + 0.3 for value in entry["dice"]]} for entry in raised["subjects"]]
    edited(folders[2], subjects=entries, mean_dice=raised["mean_dice"] + 0.3)
    (arm,) = arms(read_runs(folders))
    assert np.mean([found.value for found in tables.overlap(arm).dice]) == pytest.approx(arm.estimate.value)
    assert arm.estimate.value == pytest.approx(
        np.mean([np.mean([dice_of(f) for f in folders[:2]]), dice_of(folders[2]).mean()])
    )


def test_other_cases_are_neither_averaged_nor_paired(make_run):
    about = {"verb": "finetune", "method": "classify", "parts": ("evaluation",)}
    scratch, tuned = make_run("scratch", **about), make_run("tuned", init="runs/pre", **about)
    cases = json.loads((tuned / "evaluation.json").read_text())["cases"]
    more = [*cases, cases[0]]
    relabelled = [{**case, "truth": (case["truth"] + 1) % 3} for case in cases]
    for other in (more, relabelled):
        edited(tuned, cases=other)
        assert [arm.paired for arm in arms(read_runs([scratch, tuned]))] == [None, None]
    edited(tuned, cases=cases)
    assert arms(read_runs([scratch, tuned]))[1].paired is not None


def test_openings_that_nobody_counts_are_said(make_run, tmp_path):
    run = edited(make_run("one", verb="finetune", parts=("evaluation",)), opening=None)
    assert "Nobody counts how often the test subjects of one" in write_report([run], tmp_path / "r.html").read_text()


def with_options(folder, **options):
    """The run with other values of its recipe, by `room__name`."""
    recipe = json.loads((folder / "recipe.json").read_text())
    for name, value in options.items():
        room, key = name.split("__")
        recipe.setdefault(room, {})[key] = value
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder


def test_arms_of_one_method_say_in_which_options_they_differ(make_run):
    about = {"verb": "finetune", "parts": ("evaluation",)}
    runs = []
    for name, weight in (("location", 0.0), ("both", 1.0)):
        runs.append(with_options(make_run(name, method="planes", parts=()), method__lines=weight))
        runs += [make_run(f"{name}-few-seed-{seed}", seed=seed, init=f"runs/{name}", **about) for seed in (10, 11)]
    for width in ("usual", "half"):
        names = [f"{width}-seed-{seed}" for seed in (10, 11)]
        runs += [
            with_options(make_run(name, seed=10 + n, **about), model__widths=width) for n, name in enumerate(names)
        ]
    found = arms(read_runs(runs))
    assert sorted(arm.label for arm in found) == [
        "planes, 4 labelled, 2 runs, pretraining method.lines 0.0",
        "planes, 4 labelled, 2 runs, pretraining method.lines 1.0",
        "scratch, 4 labelled, 2 runs, model.widths half",
        "scratch, 4 labelled, 2 runs, model.widths usual",
    ]
    assert len({arm.paired.scratch.label for arm in found if arm.paired}) == 1


def test_parts_that_are_taken_over_and_splits_tell_arms_apart_and_subsets_do_not(make_run):
    about = {"verb": "finetune", "init": "runs/pre", "parts": ("evaluation",)}
    make_run("pre", parts=())
    whole = [
        with_options(make_run(f"whole{seed}", seed=seed, **about), init__parts=["encoder", "decoder"])
        for seed in (0, 1)
    ]
    part = [with_options(make_run(f"part{seed}", seed=seed, **about), init__parts=["encoder"]) for seed in (0, 1)]
    found = arms(read_runs([*whole, *part]))
    assert sorted(arm.label for arm in found) == [
        "weights of runs/pre encoder only, 4 labelled, 2 runs",
        "weights of runs/pre, 4 labelled, 2 runs",
    ]
    names = ("subset-4-seed0", "subset-4-seed1", "vendor-A-to-B")
    for folder, name in zip([*whole, part[0]], names, strict=True):
        with_options(folder, data__split=f"splits/{name}.json", init__parts=["encoder", "decoder"])
    assert sorted(len(arm.runs) for arm in arms(read_runs([*whole, part[0]]))) == [1, 2]


def test_what_arms_are_shown_tells_them_apart_and_all_but_the_heart_is_the_shortcut_score(make_run, tmp_path):
    about = {"verb": "finetune", "method": "classify", "subjects": 30, "parts": ("evaluation",)}
    with_options(make_run("pre", parts=()), method__input="heart")
    runs = [tmp_path / "runs" / "pre"]
    levels = {"full": 0.8, "heart": 0.9, "box": 0.3}
    for way, init in (("false", None), ("true", "runs/pre")):
        for style, level in levels.items():
            for seed in (0, 1):
                run = make_run(f"{style}-{way}-{seed}", init=init, level=level, seed=seed, **about)
                runs.append(with_options(run, method__input=style, method__freeze_encoder=way == "true"))
    found = {arm.label: arm for arm in arms(read_runs(runs))}
    assert set(found) == {
        "scratch, 4 labelled, 2 runs",
        "scratch, shown heart only, 4 labelled, 2 runs",
        "scratch, shown heart boxed out, 4 labelled, 2 runs",
        "simclr shown heart only, frozen encoder, 4 labelled, 2 runs",
        "simclr shown heart only, shown heart only, frozen encoder, 4 labelled, 2 runs",
        "simclr shown heart only, shown heart boxed out, frozen encoder, 4 labelled, 2 runs",
    }
    lines = by_input(list(found.values()))
    assert [sorted(line) for line in lines] == [["heart boxed out", "heart only", "whole image"]] * 2
    for line in lines:
        assert line["heart boxed out"].estimate.value < line["whole image"].estimate.value
        assert {frozen(arm.runs[0]) for arm in line.values()} in ({True}, {False})
    paired = [(arm.estimate.value, arm.paired) for arm in found.values() if arm.paired is not None]
    assert len(paired) == 3
    for value, each in paired:
        assert value - each.against == pytest.approx(each.estimate.value)
    scratch = [run for run in runs if "-false-0" in run.name]
    text = write_report(scratch, tmp_path / "report.html").read_text()
    _, table = text.split('id="shortcut-table"')
    table, _ = table.split("</table>", 1)
    (line,) = by_input(arms(read_runs(scratch)))
    assert len(line) == 3
    for arm in line.values():
        assert f"{arm.estimate.value:.3f}" in table
    assert "shortcut-table" not in write_report(scratch[:2], tmp_path / "report.html").read_text()


def test_arms_that_would_be_called_the_same_say_in_what_they_differ(make_run):
    about = {"verb": "finetune", "init": "runs/pre", "parts": ("evaluation",)}
    names = [f"awcl-{ratio}-seed-{seed}-{key}" for ratio in (0.3, 0.5) for seed, key in ((0, "a1"), (1, "b2"))]
    runs = [
        with_options(make_run(name, seed=seed % 2, **about), method__ratio=name[5:8]) for seed, name in enumerate(names)
    ]
    scratch = [make_run(f"scratch{seed}", seed=seed, verb="finetune", parts=("evaluation",)) for seed in (0, 1)]
    found = arms(read_runs([*scratch, *runs]))
    assert [arm.label for arm in found] == [
        "scratch, 4 labelled, 2 runs",
        "weights of runs/pre, 4 labelled, 2 runs, method.ratio 0.3",
        "weights of runs/pre, 4 labelled, 2 runs, method.ratio 0.5",
    ]


def test_many_classes_are_counted_and_few_are_named(make_run):
    run = make_run("one", verb="finetune", method="classify", parts=("evaluation",))
    (arm,) = arms(read_runs([run]))
    assert tables.counted(arm) == "NOR 4, DCM 4, HCM 4"
    cases = [
        {"subject": f"s{place}", "truth": place % 7, "probabilities": np.eye(7)[place % 7].tolist()}
        for place in range(15)
    ]
    (arm,) = arms(read_runs([edited(run, classes=list("abcdefg"), cases=cases)]))
    assert tables.counted(arm) == "7 classes of 2 to 3"


def test_a_difference_that_has_no_interval_shows_none(make_run, tmp_path):
    about = {"verb": "finetune", "subjects": 3, "parts": ("evaluation",)}
    runs = [make_run("pre", parts=()), make_run("alone", **about), make_run("tuned", init="runs/pre", **about)]
    _, arm = arms(read_runs(runs))
    assert np.isnan(arm.paired.estimate.interval.low)
    page = write_report(runs, tmp_path / "report.html").read_text()
    assert words.signed(arm.paired.estimate.value) in page
    assert f"{words.signed(float('nan'))} to" not in page
