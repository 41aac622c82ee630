"""Files that are damaged, or made to do harm: the page says what it left out, and is written all the same."""

import json

import numpy as np
import pytest

from jaxssl.reporting import write_report

HUGE = "1" + "0" * 400
BROKEN = {
    "run.json": ({"init": "a\0b"}, {"started": 1e30}, {"started": float("nan")}, {"devices": int(HUGE)}),
    "probe.json": (
        {"representation": {"rankme": 3}},
        {"representation": {"neighbours": [1, 2]}},
        {"representation": {"neighbours": [{"found": 3}]}},
        {"subjects": {"knn": 0.3}},
        {"knn": {"accuracy": int(HUGE)}},
    ),
}


@pytest.mark.parametrize(("file", "changes"), [(file, each) for file, many in BROKEN.items() for each in many])
def test_values_of_the_wrong_kind_stop_no_page(make_run, tmp_path, file, changes):
    run = make_run("pre", parts=("probe",))
    (run / file).write_text(json.dumps(json.loads((run / file).read_text()) | changes))
    assert "</html>" in write_report([run], tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    "line",
    ['{"step": Infinity, "loss": 1}', f'{{"step": {HUGE}, "loss": 1}}', "[" * 100_000],
)
def test_lines_that_are_no_measurement_are_counted(make_run, tmp_path, line):
    run = make_run("pre", parts=())
    (run / "metrics.jsonl").write_text(
        f'{line}\n{{"step": 1, "loss": {HUGE}}}\n{{"step": 2, "loss": 1, "#0102ff": 3}}\n'
    )
    text = write_report([run], tmp_path / "r.html").read_text()
    assert "metrics.jsonl: 1 damaged line(s) left out (line 1 of 3)." in text


@pytest.mark.parametrize(
    "arrays",
    [
        {"views/a": np.array([[["x"]]])},
        {"views/a": np.zeros((3, 0, 5))},
        {"neighbours/query": np.zeros((2, 4)), "neighbours/found": np.zeros((2, 3, 4, 4))},
    ],
)
def test_what_is_no_picture_is_not_drawn(make_run, tmp_path, arrays):
    run = make_run("pre", parts=("probe",))
    np.savez(run / "pictures.npz", **arrays)
    assert "pictures.npz holds something else than pictures" in write_report([run], tmp_path / "r.html").read_text()


@pytest.mark.parametrize("column", [np.array("x"), np.array(["<b>&", "#0102ff", "#0102ff", "#0102ff"])])
def test_names_in_a_map_may_be_anything(make_run, tmp_path, column):
    run = make_run("pre", parts=())
    np.savez(run / "embedding.npz", embedding=np.random.default_rng(0).normal(size=(4, 3)), group=column)
    text = write_report([run], tmp_path / "r.html").read_text()
    assert "Embedding map" in text
    assert "<b>&" not in text


def test_scores_that_are_none_make_no_arm(make_run, tmp_path):
    run = make_run("tuned", verb="finetune", parts=("evaluation",))
    content = json.loads((run / "evaluation.json").read_text())
    for dice in ([None] * 3, [1.5] * 3):
        entries = [{**entry, "dice": dice} for entry in content["subjects"]]
        (run / "evaluation.json").write_text(json.dumps({**content, "subjects": entries}))
        text = write_report([run], tmp_path / "r.html").read_text()
        assert "evaluation.json lacks what the comparison needs" in text
