"""The page says what the files say, holds all it shows, and lets nothing from a run folder act as markup."""

from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from jaxssl.errors import UserError
from jaxssl.evaluate.statistics import effect_size, smallest_detectable, studentised
from jaxssl.reporting import write_report
from jaxssl.reporting.read import read_runs
from jaxssl.reporting.words import rerun

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """What the tests ask of a page: tables by id as rows of (text, data-value), text, attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: dict[str, list[list[tuple[str, str | None]]]] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self._table: str | None = None
        self.raw = path.read_text(encoding="utf-8")
        self.feed(self.raw)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in values.items()]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._table = values.get("id", "")
            self.tables[self._table] = []
        elif tag == "tr" and self._table is not None:
            self.tables[self._table].append([])
        elif tag in {"td", "th"} and self._table is not None:
            self.tables[self._table][-1].append(("", values.get("data-value")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()
        if tag == "table":
            self._table = None

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"style", "script"}:
            return
        self.text += data
        if self._table is not None and self.tables[self._table] and {"td", "th"} & set(self.open):
            text, value = self.tables[self._table][-1][-1]
            self.tables[self._table][-1][-1] = (f"{text} {data}".strip(), value)

    def rows(self, table: str) -> dict[str, dict[str, tuple[str, str | None]]]:
        """Rows by the text of their first cell, cells by the heading of their column."""
        head, *body = self.tables[table]
        return {row[0][0]: {name: cell for (name, _), cell in zip(head, row, strict=True)} for row in body}


def dice_of(folder: Path) -> dict[str, np.ndarray]:
    """Dice by subject [volumes, classes], straight from the file."""
    rows: dict[str, list[list[float]]] = {}
    for entry in json.loads((folder / "evaluation.json").read_text())["subjects"]:
        rows.setdefault(entry["subject"], []).append(entry["dice"])
    return {subject: np.array(values) for subject, values in rows.items()}


@pytest.fixture(scope="module")
def trio(lasting_run):
    """A pretraining, a run from scratch and a run from the pretraining."""
    return [
        lasting_run("pre"),
        lasting_run("scratch", verb="finetune", method="segment", level=0.75),
        lasting_run("from-pre", verb="finetune", method="segment", init="runs/pre", level=0.79),
    ]


@pytest.fixture(scope="module")
def page(trio, tmp_path_factory):
    """The page about the three."""
    return Page(write_report(trio, tmp_path_factory.mktemp("page") / "report.html"))


def test_comparison_equals_the_files(trio, page):
    rows = page.rows("comparison-table")
    assert set(rows) == {"scratch", "from-pre"}
    for folder in trio[1:]:
        row, dice = rows[folder.name], dice_of(folder)
        values = np.stack(list(dice.values())).mean(axis=1)
        text, value = row["Mean Dice"]
        assert float(value or "") == pytest.approx(values.mean(), abs=1e-12)
        low, high = studentised(values.mean(axis=1))
        assert text == f"{values.mean():.3f} {low:.3f} to {high:.3f}"
        for place, name in enumerate(("RV", "MYO", "LV")):
            assert float(row[name][1] or "") == pytest.approx(values[:, place].mean(), abs=1e-12)
        facts = json.loads((folder / "run.json").read_text())
        assert row["Commit"][0] == facts["commit"][:10]
        assert f'title="{folder.as_posix()}">0/0</a>' in page.raw
        assert (row["Subjects (n)"][0], row["Labelled subjects"][0]) == ("12", "4")
        assert (row["Runs"][0], row["Label subsets and seeds"][0]) == ("1", "0/0")
    assert rows["scratch"]["Initialisation"][0] == "scratch"
    assert rows["from-pre"]["Initialisation"][0] == "simclr run pre"


def test_difference_is_paired_and_its_interval_is_of_subjects(trio, page):
    rows = page.rows("comparison-table")
    scratch, ours = dice_of(trio[1]), dice_of(trio[2])
    differences = np.array([ours[subject].mean() - scratch[subject].mean() for subject in ours])
    low, high = studentised(differences)
    text, value = rows["from-pre"]["Difference from scratch"]
    assert float(value or "") == pytest.approx(differences.mean(), abs=1e-12)
    assert text == f"{differences.mean():+.3f} {low:+.3f} to {high:+.3f}"
    assert rows["scratch"]["Difference from scratch"][0] == "reference"
    flips = np.array(list(itertools.product((-1, 1), repeat=12)))
    p = np.mean(abs(flips @ differences) >= abs(differences.sum()) - 1e-12)
    assert rows["from-pre"]["p (Holm)"] == (f"<0.001 p {p:.3f}" if p >= 0.001 else "<0.001 p <0.001", str(p))
    assert float(rows["from-pre"]["Effect size (g)"][1] or "") == pytest.approx(effect_size(differences).value)
    detectable = smallest_detectable(differences.std(ddof=1), 12)
    assert float(rows["from-pre"]["Detectable"][1] or "") == pytest.approx(detectable)


def test_only_the_same_task_is_a_reference(make_run, tmp_path):
    runs = [
        make_run("scratch", verb="finetune", seed=1, parts=("evaluation",)),
        make_run("tuned", verb="finetune", init="runs/elsewhere", seed=0, parts=("evaluation",)),
    ]
    page = Page(write_report(runs, tmp_path / "report.html"))
    row = page.rows("comparison-table")["tuned"]
    assert row["Difference from scratch"] == ("nothing to compare with", "nan")
    assert row["Initialisation"][0] == "weights of runs/elsewhere"


def test_other_differences_of_the_recipe_are_said(make_run, tmp_path):
    runs = [
        make_run("pre", parts=()),
        make_run("scratch", verb="finetune", parts=("evaluation",)),
        make_run("from-pre", verb="finetune", init="runs/pre", parts=("evaluation",)),
    ]
    recipe = json.loads((runs[2] / "recipe.json").read_text())
    recipe["optim"]["lr"] = 3e-4
    (runs[2] / "recipe.json").write_text(json.dumps(recipe))
    page = Page(write_report(runs, tmp_path / "report.html"))
    assert "from-pre and its scratch arm scratch also differ in optim.lr" in page.text
    head, *body = page.tables["differences"]
    cells = {row[0][0]: [text for text, _ in row[1:]] for row in body}
    assert [name for name, _ in head] == ["Option", "pre", "scratch", "from-pre"]
    assert cells["optim.lr"] == ["0.001", "0.001", "0.0003"]
    assert "optim.clip" not in cells


def test_few_subjects_and_synthetic_data_are_said(page):
    assert "Only 12 subjects: below 30" in page.text
    assert "synthetic phantom" in page.text
    assert "is not a result" in page.text
    assert "significant" not in page.text


def test_thirty_subjects_need_no_warning(make_run, tmp_path):
    runs = [make_run("many", verb="finetune", method="segment", subjects=30, parts=("evaluation",))]
    assert "below 30" not in Page(write_report(runs, tmp_path / "report.html")).text


def test_probe_table(trio, page):
    row = page.rows("probe-table")["pre"]
    assert row["kNN accuracy"] == ("0.800 k 20, T 0.07", "0.8")
    assert row["Linear accuracy"][0] == "0.830 balanced 0.75, L2 0.001"
    assert (row["Chance"][0], row["Test images (n)"][0]) == ("0.500", "96 19 subjects")
    assert row["Commit"][0] == json.loads((trio[0] / "run.json").read_text())["commit"][:10]


def test_page_needs_nothing_else(page):
    assert not page.open
    assert len(page.raw.encode()) < 5_000_000
    for _, name, value in page.attributes:
        if name in {"src", "href", "xlink:href", "action", "srcset", "poster"}:
            assert value.startswith(("data:image/png;base64,", "#")), value
    referred = {value[1:] for _, name, value in page.attributes if "href" in name and value.startswith("#")}
    referred |= set(re.findall(r"url\(#([^)]+)\)", page.raw))
    assert referred <= {value for _, name, value in page.attributes if name == "id"}
    assert "@import" not in page.raw
    assert not re.search(r"url\(\s*['\"]?(?!#)", page.raw)
    assert not [tag for tag in page.tags if tag in {"link", "iframe", "object", "embed", "base"}]


def test_every_figure_has_a_caption_and_every_picture_a_text(page):
    assert page.tags.count("figure") == page.tags.count("figcaption") > 10
    described = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt") and value]
    assert page.tags.count("img") == len(described) > 0


def test_a_heart_beats_in_every_column_and_its_frames_are_held_once(page):
    figure = page.raw.partition('<figure class="beat">')[2].partition("</figure>")[0]
    columns = figure.count('role="img"')
    assert columns > 1
    assert figure.count('<g class="frame"') == 4 * columns
    assert figure.count("data:image/png") == 4
    assert re.findall(r"animation-delay: (\S+)s", figure)[:4] == ["-1.0", "-0.75", "-0.5", "-0.25"]
    assert "25.0%, 100% { visibility: hidden; }" in figure


def test_it_says_how_to_cite_it_and_to_make_it_again(trio, page):
    assert "CITATION.cff" in page.text
    assert f"<code>jaxssl report {' '.join(map(str, trio))}</code>" in page.raw


def test_what_asked_the_test_subjects_afterwards_is_part_of_the_command(make_run):
    typed = {"command": "jaxssl finetune segment:small --on validation"}
    asked = read_runs([make_run("asked", verb="finetune", parts=("evaluation",), extra=typed)])[0]
    assert rerun(asked).endswith(f"--on validation && jaxssl evaluate {asked.folder.as_posix()}")
    left = make_run("left", verb="finetune", parts=("evaluation",), extra=typed)
    (left / "evaluation.json").rename(left / "validation.json")
    content = json.loads((left / "validation.json").read_text())
    (left / "validation.json").write_text(json.dumps(content | {"on": "validation"}))
    assert rerun(read_runs([left])[0]).endswith("--on validation")


def test_hostile_words_stay_words(make_run, tmp_path):
    hostile = "<script>alert(1)</script>$x^{$ & \"'"
    facts = {"name": hostile, "method": hostile, "commit": hostile, "device": hostile, "command": hostile}
    first = make_run('a"><img src=x onerror=alert(1)>', extra=facts)
    (first / "recipe.json").write_text(json.dumps({hostile: {"b": hostile}}))
    np.savez(first / "embedding.npz", embedding=np.random.default_rng(0).normal(size=(20, 4)),
             view=np.array([hostile, "sax"] * 10), group=np.array(["x"] * 20))  # fmt: skip
    second = make_run("$\\frac", verb="finetune", extra=facts | {"init": hostile})
    page = Page(write_report([first, second], tmp_path / "report.html"))
    assert page.tags.count("script") == 1
    assert page.tags.count("img") == len(re.findall('<img src="data:image/png', page.raw))
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert hostile in page.text
    assert first.name in page.text


def test_optional_files_may_be_missing(make_run, tmp_path):
    page = Page(write_report([make_run("bare", parts=())], tmp_path / "report.html"))
    assert set(page.tables) == {"run-table", ""}
    assert not page.tags.count("img")
    assert 'class="warning"' not in page.raw


def test_damage_is_left_out_and_said(make_run, tmp_path):
    run = make_run("hurt", verb="finetune", method="segment")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 310, "loss": 1.')
    (run / "pictures.npz").write_bytes((run / "pictures.npz").read_bytes()[:500])
    (run / "recipe.json").write_text("{")
    (run / "evaluation.json").write_text('{"classes": ["RV"], "subjects": []}')
    page = Page(write_report([run], tmp_path / "report.html"))
    assert "metrics.jsonl: 1 damaged line(s) left out (line 31 of 31)" in page.text
    for name in ("pictures.npz", "recipe.json", "evaluation.json"):
        assert re.search(
            rf"{name} (could not be read|lacks what the comparison needs) and is left out",
            re.sub(r"\s+", " ", page.text),
        )
    assert "loss" in page.raw


def test_no_run_is_refused_and_nothing_written(make_run, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    target = tmp_path / "out" / "report.html"
    for runs, words in (
        ([make_run("good", parts=()), empty], "not a run folder"),
        ([tmp_path / "nowhere"], "no run folder"),
        ([], "No run folder"),
    ):
        with pytest.raises(UserError, match=words):
            write_report(runs, target)
    assert not target.parent.exists()


def test_page_that_cannot_be_written_is_refused(make_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_report([make_run("good", parts=())], tmp_path / "file" / "report.html")


def test_plain_files_among_the_runs_are_passed_over_and_a_folder_takes_the_page(make_run, tmp_path):
    run = make_run("good", parts=())
    (run.parent / "notes.txt").write_text("")
    path = write_report(sorted(run.parent.iterdir()), tmp_path)
    assert path == tmp_path / "report.html"
    assert list(Page(path).rows("run-table")) == ["good"]


def test_command_to_run_again(make_run, tmp_path):
    run = make_run(
        "it", verb="finetune", method="segment", init="runs/a b", seed=3, parts=(), extra={"commit": "ab12-dirty"}
    )
    text = Page(write_report([run], tmp_path / "report.html")).text
    assert (
        "git checkout ab12 && jaxssl finetune segment:small --data.store stores/phantom --data.subset_seed 0 "
        f"--train.seed 3 --init.run 'runs/a b' --workdir {run.as_posix()}"
    ) in text
    assert "this commit alone does not make the run again" in text


def test_many_large_runs_still_fit(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxssl.reporting.page.LIMIT", 400_000)
    runs = [make_run(f"run{place}", parts=("pictures",)) for place in range(5)]
    path = write_report(runs, tmp_path / "report.html")
    page = Page(path)
    assert path.stat().st_size < 400_000
    assert page.tags.count("img") >= 5
    assert "fewer samples of each run are shown" in page.text
