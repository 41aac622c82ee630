"""What came out, as the page says it first; Dice of each moment; and what so few subjects cannot show."""

import json

import numpy as np
import pytest
from repeats import edited, runs_of

from jaxssl.reporting import tables, words, write_report
from jaxssl.reporting.arms import arms
from jaxssl.reporting.read import read_runs


def test_the_page_begins_with_what_came_out_and_says_that_recipes_for_tests_show_nothing(make_run, tmp_path):
    scratch = runs_of(make_run, "scratch", level=0.70)
    better, same = (
        runs_of(make_run, name, init=f"runs/{name}", level=level) for name, level in (("better", 0.85), ("same", 0.70))
    )
    for folder in better + same:
        edited(folder, "run.json", planned=f"study/{folder.name.partition('-')[0]}")
    found = arms(read_runs([*scratch, *better, *same]))
    by_label = {arm.label: arm.paired.estimate.value for arm in found if arm.paired}
    said = words.outcome(found)
    for label, value in by_label.items():
        assert f"{label} {words.signed(value)}" in said
    assert said.startswith("Dice of test subjects against scratch: ")
    assert said.endswith(f"without 0: better {words.signed(by_label['better'])}.")
    assert words.outcome(found[:1]) == ""
    values = sorted(by_label.values())
    assert f"6 differences from {words.signed(values[0])} to {words.signed(values[1])}." in words.outcome(found * 3)
    assert not any("tiny" in warning for warning in words.warnings(found))
    edited(same[0], "run.json", name="segment:tiny@mae:tiny")
    assert any("tiny" in warning for warning in words.warnings(arms(read_runs([*scratch, *same]))))


def test_dice_is_shown_of_each_moment(make_run, tmp_path):
    folder = make_run("tuned", verb="finetune", parts=("evaluation",))
    content = json.loads((folder / "evaluation.json").read_text())
    for entry in content["subjects"]:
        entry["dice"] = [0.9, 0.8, 0.7] if entry["moment"] == "ED" else [0.5, 0.4, None]
    (folder / "evaluation.json").write_text(json.dumps(content))
    (arm,) = arms(read_runs([folder]))
    found = {moment: each.value for moment, each in tables.overlap(arm).by_moment.items()}
    assert found == {"ED": pytest.approx(0.8), "ES": pytest.approx(0.45)}
    page = write_report([folder], tmp_path / "report.html").read_text()
    assert "Dice in ES" in page
    edited(folder, subjects=[entry for entry in content["subjects"] if entry["moment"] == "ES"])
    assert not tables.overlap(arms(read_runs([folder]))[0]).by_moment


@pytest.mark.parametrize(("subjects", "known"), [(5, False), (6, True)])
def test_what_no_p_can_show_is_not_detectable(subjects, known, make_run):
    scratch = runs_of(make_run, "scratch", level=0.75, subjects=subjects)
    tuned = runs_of(make_run, "tuned", init="runs/pre", level=0.78, subjects=subjects)
    paired = arms(read_runs([*scratch, *tuned]))[1].paired
    assert paired is not None
    assert np.isfinite(paired.detectable) == known
