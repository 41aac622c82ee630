"""Every command of README and guides is one that jaxssl takes, every Python block runs on names that are there, the
examples of the reference hold, and the site is built without a warning."""

import ast
import doctest
import functools
import importlib
import inspect
import re
import shlex
import subprocess
import sys

import pytest
from pages import PAGES, ROOT, blocks, commands
from source import of_the_source

import jaxssl.run
from jaxssl import config
from jaxssl.cli import main
from jaxssl.cli.told import EXAMPLES
from jaxssl.recipe import Recipe
from jaxssl.train.alarms import MODES

REFERENCE = (
    *("jaxssl.sweep.stage", "jaxssl.sweep.design", "jaxssl.sweep.study"),
    *("jaxssl.objectives.contrastive", "jaxssl.objectives.rules"),
    *("jaxssl.objectives.distillation", "jaxssl.objectives.prototypes"),
    *("jaxssl.objectives.reconstruction", "jaxssl.objectives.planes"),
    *("jaxssl.objectives.segmentation", "jaxssl.objectives.classification"),
    *("jaxssl.objectives.masks", "jaxssl.objectives.patches", "jaxssl.objectives.fills"),
    *(f"jaxssl.evaluate.metrics.{name}" for name in ("overlap", "surface", "volumes", "heads", "classes")),
    *(f"jaxssl.evaluate.{name}" for name in ("knn", "linear", "representation")),
    *(f"jaxssl.evaluate.statistics.{name}" for name in ("intervals", "bca", "auroc", "paired", "power", "agreement")),
    "jaxssl.geometry",
    *("jaxssl.data.phantom.cine", "jaxssl.data.phantom.knee.study", "jaxssl.data.phantom.ultrasound.study"),
)
"""Modules of docs/api.md that are not verbs, whose examples are one story in tests/run."""
COMMANDS = sorted(
    {(page.name, command) for page in PAGES for command in commands(page)}
    | {("--help", example) for example in EXAMPLES.values()}
)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Verbs that would have been begun; none is."""
    begun: list[str] = []

    def noted(verb):
        @functools.wraps(verb)
        def one(*given, **options):
            begun.append(verb.__name__)
            for value in given:
                if isinstance(value, Recipe):
                    config.check(value)

        return one

    for name in jaxssl.run.__all__:
        monkeypatch.setattr(jaxssl.run, name, noted(getattr(jaxssl.run, name)))
    monkeypatch.setattr("jaxssl.train.processes.join", lambda *given: None)
    return begun


def test_there_are_commands():
    assert len(COMMANDS) > 40


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_every_command_is_one_that_jaxssl_takes(page, command, asked, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)[1:]
    assert main(words) == 0
    if words != ["doctor"]:
        assert len(asked) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_asks_for_what_is_there(page):
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "jaxssl":
                assert hasattr(jaxssl, node.attr)
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, name.name) for name in node.names)


@pytest.mark.parametrize("name", REFERENCE)
def test_examples_of_the_reference_hold(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(importlib.import_module(name))
    assert (found.failed, found.attempted > 0) == (0, True)


@pytest.mark.parametrize("name", [name for name in REFERENCE if not name.startswith("jaxssl.data")])
def test_all_of_the_reference_has_examples(name):
    module = importlib.import_module(name)
    asked = re.findall(rf"automodule:: {name}\n +:members: *(.*)", (ROOT / "docs" / "api.md").read_text())
    names = asked[0].split(", ") if asked[0] else [each for each in vars(module) if not each.startswith("_")]
    own = [vars(module)[each] for each in names if inspect.getmodule(vars(module)[each]) is module]
    public = [each for each in own if inspect.isfunction(each) or inspect.isclass(each)]
    assert public
    assert [each.__name__ for each in public if ">>>" not in (each.__doc__ or "")] == []


def test_the_reference_names_every_verb():
    text = (ROOT / "docs" / "api.md").read_text()
    assert [name for name in jaxssl.__all__ if not re.search(rf":: jaxssl\.{name}$", text, re.MULTILINE)] == []


@of_the_source
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page):
    places = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert all((page.parent / place).exists() for place in places)


def test_every_alarm_is_explained():
    page = (ROOT / "docs" / "guides" / "trouble.md").read_text()
    assert [name for name in MODES if f"| `Collapse ({name})`" not in page] == []


@of_the_source
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "-d", tmp_path / "trees", ROOT / "docs"]
    built = subprocess.run([*command, tmp_path / "site"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-3000:]
    assert "Bring your data" in (tmp_path / "site" / "index.html").read_text()
