"""The arithmetic behind the figures, against plain computations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxssl.reporting import charts, figures, galleries, pictures, read, words
from jaxssl.reporting.results import Segmentation


def test_principal_plane_equals_the_covariance_eigenvectors():
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)) + 7.0
    scores, shares = figures.principal_plane(embedding)
    variances, axes = np.linalg.eigh(np.cov(embedding.T))
    np.testing.assert_allclose(shares, variances[::-1][:2] / variances.sum(), rtol=1e-10)
    projected = (embedding - embedding.mean(0)) @ axes[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(scores), np.abs(projected), atol=1e-10)
    again, _ = figures.principal_plane(-embedding)
    np.testing.assert_allclose(again, -scores, atol=1e-10)


def test_principal_plane_of_a_collapsed_embedding_is_a_point():
    scores, shares = figures.principal_plane(np.full((5, 3), 0.25, np.float32))
    assert np.all(scores == 0)
    assert np.all(shares == 0)


def test_outline_surrounds_the_area_of_its_class():
    mask = np.zeros((10, 14), np.uint8)
    mask[3:7, 2:9] = 2
    mask[4:6, 4:6] = 3
    ring, core = pictures.outlines(mask)
    assert (ring.place, core.place) == (1, 2)
    # The border runs halfway between pixel centres and cuts the corners: 1/8 of a pixel at each.
    assert _area(core.path) == pytest.approx(4 - 4 / 8)
    assert _area(ring.path) == pytest.approx((28 - 4 / 8) - (4 + 4 / 8 - 8 / 8), abs=1.0)
    xs = [x for x, _ in _points(core.path)]
    assert (min(xs), max(xs)) == (4.0, 6.0)


def _points(path: str) -> list[tuple[float, float]]:
    pairs = path.replace("M", " ").replace("L", ",").replace("Z", "").strip().split(",")
    return [(float(x), float(y)) for x, y in (pair.split() for pair in pairs)]


def _area(path: str) -> float:
    total = 0.0
    for ring in filter(None, path.split("Z")):
        x, y = np.array(_points(ring)).T
        total += (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    return abs(total)


@given(st.integers(0, 19), st.integers(0, 29), st.integers(1, 20), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_window_keeps_proportions_and_holds_the_heart(top, left, height, width):
    inside = np.zeros((20, 30), bool)
    inside[top : top + height, left : left + width] = True
    x, y, w, h = pictures.window(inside)
    assert w / h == pytest.approx(30 / 20)
    ys, xs = np.nonzero(inside)
    assert -1e-9 <= x <= xs.min()
    assert xs.max() + 1 <= x + w + 1e-9
    assert -1e-9 <= y <= ys.min()
    assert ys.max() + 1 <= y + h + 1e-9
    assert x + w <= 30 + 1e-9
    assert y + h <= 20 + 1e-9


def test_tile_is_the_picture_in_8_bits():
    import base64
    import io

    from PIL import Image

    image = np.array([[0.0, 0.5, 1.0], [np.nan, -1.0, 2.0]], np.float32)
    tile = pictures.tile(image, "x")
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(tile.png.partition(",")[2]))))
    np.testing.assert_array_equal(decoded, [[0, 128, 255], [0, 0, 255]])
    assert (tile.width, tile.height) == (3, 2)


def test_reconstructions_stand_in_reading_order():
    stack = np.zeros((3, 2, 2), np.float32)
    named = {f"reconstruction/{name}": stack for name in ("masked", "error", "original", "prediction")}
    columns = pictures.columns(named | {"views/first": stack}, "reconstruction/", most=2)
    assert [[tile.word for tile in column] for column in columns] == [["original", "masked", "prediction", "error"]] * 2


def test_thinned_keeps_means_and_breaks_at_gaps():
    values = np.arange(1000.0)
    steps, kept = figures.thinned(np.arange(1000), values, most=100)
    np.testing.assert_allclose(kept, np.arange(100) * 10 + 4.5)
    np.testing.assert_allclose(steps, kept)
    values[555] = np.nan
    assert np.flatnonzero(np.isnan(figures.thinned(np.arange(1000), values, most=100)[1])).tolist() == [55]


def test_lines_of_a_resumed_run_count_once(tmp_path: Path, make_run):
    run = make_run("again", parts=())
    lines = [
        {"step": 20, "loss": 9.0},
        {"step": 10, "loss": 2.0},
        {"step": 20, "loss": 1.0},
        {"step": 30, "loss": float("nan")},
    ]
    (run / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (found,) = read.read_runs([run])
    steps, values = found.metrics["loss"]
    np.testing.assert_array_equal(steps, [10, 20, 30])
    np.testing.assert_array_equal(values, [2.0, 1.0, np.nan])
    assert not found.notes


def test_subjects_weigh_the_same_and_absent_classes_do_not_count(make_run):
    run = make_run("uneven", verb="finetune", method="segment", parts=())
    content = {
        "kind": "segmentation", "data": "x", "classes": ["A", "B"], "training_subjects": 1, "seed": 0, "mean_dice": 0.9,
        "subjects": [
            {"subject": "s1", "moment": "ED", "dice": [0.2, 0.4]},
            {"subject": "s1", "moment": "ES", "dice": [0.4, 0.6]},
            {"subject": "s2", "moment": "ED", "dice": [0.8, None]},
        ],
    }  # fmt: skip
    (run / "evaluation.json").write_text(json.dumps(content))
    (found,) = read.read_runs([run])
    assert isinstance(found.judged, Segmentation)
    assert found.judged.by_subject == pytest.approx({"s1": 0.4, "s2": 0.8})
    assert found.judged.mean == pytest.approx(0.6)
    assert found.judged.per_class == pytest.approx({"A": 0.55, "B": 0.5})
    assert found.notes == ("evaluation.json states a mean Dice of 0.900; its subjects give 0.600.",)
    (run / "evaluation.json").rename(run / "validation.json")
    (found,) = read.read_runs([run])
    assert found.notes == ("validation.json states a mean Dice of 0.900; its subjects give 0.600.",)


def test_a_note_names_the_file_that_is_damaged(make_run):
    run = make_run("a", parts=("probe",))
    (run / "probe-2.json").write_text('{"target": "group", "knn": 3}')
    assert read.read_runs([run])[0].notes == ("probe-2.json lacks what the table needs and is left out.",)


def test_classes_are_those_of_the_evaluation_or_else_of_the_store(make_run):
    knee = {"classes": ["background", "femur", "tibia"]}
    for parts, extra, wanted in (
        (("pictures", "evaluation"), knee, ("RV", "MYO", "LV")),
        (("pictures",), knee, ("femur", "tibia")),
        (("pictures",), {}, ()),
    ):
        run = make_run(f"{len(parts)}{len(extra)}", verb="finetune", method="segment", parts=parts, extra=extra)
        (shown,) = galleries.segmentations(read.read_runs([run]), samples=1)
        assert shown.classes == wanted


def test_runs_of_one_pretraining_share_a_hue_and_scratch_is_grey(make_run):
    folders = [
        make_run("a", parts=()),
        make_run("b", parts=()),
        make_run("from-b", verb="finetune", init="runs/b", parts=()),
        make_run("scratch", verb="finetune", parts=()),
        make_run("from-b-2", verb="finetune", init="runs/b", parts=()),
    ]
    look = charts.styles(read.read_runs(folders))
    assert look["a"].hue != look["b"].hue == look["from-b"].hue == look["from-b-2"].hue
    assert look["scratch"].hue == -1
    assert look["from-b"].dash != look["from-b-2"].dash


def test_runs_of_one_name_are_told_apart(make_run):
    runs = read.read_runs([make_run("x/same", parts=()), make_run("y/same", parts=())])
    assert [run.label for run in runs] == ["x/same", "y/same"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (words.fixed(0.12345), "0.123"),
        (words.fixed(float("nan")), "\u2013"),
        (words.signed(-0.0416), "\u22120.042"),
        (words.signed(0.0416), "+0.042"),
        (words.duration(59.4), "59.4 s"),
        (words.duration(192), "3 min 12 s"),
        (words.duration(7260), "2 h 1 min"),
        (words.millions(33_468_996), "33.47 M"),
        (words.thousands(9123.4), "9\u202f123"),
        (words.listed(["a", "b", "a", "c"]), "a, b and c"),
    ],
)
def test_words(written, expected):
    assert written == expected


def test_quantities_without_room_are_named(make_run):
    run = make_run("pre", parts=())
    others = [f"value_{i:02}" for i in range(13)]
    lines = [{"step": s, "loss": 1 / s} | dict.fromkeys(others, float(s)) for s in (1, 2)]
    (run / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    found = read.read_runs([run])
    (shown,) = charts.curves(found, charts.styles(found))
    assert [name for name, _ in shown.panels] + list(shown.left_out) == ["loss", *(n.replace("_", " ") for n in others)]
    assert len(shown.left_out) == 2


def test_a_probe_is_held_against_one_answer_for_all(make_run):
    run = make_run("pre", parts=())
    lines = [{"step": s, "loss": 1 / s, "probe/knn": 0.1 * s, "probe/chance": 0.3} for s in (1, 2)]
    (run / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    found = read.read_runs([run])
    look = charts.styles(found)
    (shown,) = charts.curves(found, look)
    assert (shown.constant, shown.chance) == ((), 0.3)
    drawn = [(look["pre"], *found[0].metrics["probe/knn"])]
    quantity, panel = shown.panels[1]
    assert panel == figures.curve_panel(drawn, quantity, from_zero=True, level=0.3)
    without = figures.curve_panel(drawn, quantity, from_zero=True)
    assert panel.count("stroke-dasharray") == without.count("stroke-dasharray") + 1
    other = make_run("other", parts=())
    (other / "metrics.jsonl").write_text("\n".join(json.dumps(line | {"probe/chance": 0.4}) for line in lines))
    both = read.read_runs([run, other])
    (shown,) = charts.curves(both, charts.styles(both))
    assert shown.chance is None
    assert "one answer for all at most" in dict(shown.panels)


def test_quantities_that_never_move_are_said_and_not_drawn(make_run):
    runs = [make_run("tuned", verb="finetune", parts=()), make_run("pre", parts=())]
    for run, moving in zip(runs, (0.0, 1.0), strict=True):
        lines = [{"step": s, "loss": 1 / s, "skipped": 0.0, "learning_rate": 0.1, "std": moving * s} for s in (1, 2)]
        (run / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    found = read.read_runs(runs)
    first, second = charts.curves(found, charts.styles(found))
    assert (first.verb, second.verb) == ("pretrain", "finetune")
    assert [name for name, _ in first.panels] == ["loss", "learning rate", "std"]
    assert first.constant == ("skipped (0)",)
    assert second.constant == ("skipped (0)", "std (0)")
