"""The notebook, cell by cell as a reader runs it, at its smallest; and stored as nobody has run it yet."""

import ast
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
SMALLEST = {"subjects": 10, "frames": 3, "size": "tiny", "steps": 4}


def run(source: str, names: dict) -> object:
    """What a cell shows: its last line's value, if that is an expression."""
    *lines, last = ast.parse(source).body
    shown = isinstance(last, ast.Expr)
    exec(compile(ast.Module(lines if shown else [*lines, last], []), "cell", "exec"), names)  # noqa: S102
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if shown else None  # noqa: S307


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the cells know of each other; pictures are drawn and not shown."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    plt.switch_backend("agg")
    with plt.rc_context():
        yield {}
    plt.close("all")


def test_every_cell_runs_and_the_heart_beats(names):
    for cell in CELLS:
        shown = run("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert SMALLEST.keys() <= names.keys()
            names |= SMALLEST
        if hasattr(shown, "_repr_html_"):
            animated = shown._repr_html_()
    assert animated.count("data:image/png") == SMALLEST["frames"]
    assert len(names["areas"]) == SMALLEST["frames"]
    assert (names["work"] / "report.html").exists()


def test_it_is_stored_without_what_came_out():
    assert [cell["id"] for cell in CELLS if cell["outputs"] or cell["execution_count"]] == []
