"""Words and recipes of any kind: a sentence and exit code 2, or a run that would begin; nothing is left behind."""

import random
import shlex
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jaxssl
from jaxssl import config
from jaxssl.cli import OF_RUNS, main
from jaxssl.errors import UserError
from jaxssl.recipe import load_recipe, names
from jaxssl.run.begun import Run

NUMBERS = [0, -1, 1, 2, 3, 7, 10**6, 10**12, -(10**30), 0.5, 1.5, -0.5, 1e-30, 1e30, 1e300]
NUMBERS += [float("nan"), float("inf"), -float("inf")]
OTHERS = [None, True, False, "", "none", "x", "../x", "simclr:tiny", "\0", "é" * 50, b"x", {}, object()]
TUPLES = [(), (0, 0), (1,), (-1, 1), (1, 2), (1, 2, 3), (0.1, 0.2, 0.7), (float("nan"), 1.0), ("a",), ("ED", "ES")]
VALUES = [*NUMBERS, *OTHERS, *TUPLES]
WORDS = [
    "",
    "-",
    "--",
    "-h",
    "--help",
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e400",
    "10" * 30,
    "None",
    "True",
    "\0",
    "ä\n",
]
WORDS += [
    "../..",
    "/",
    "nowhere",
    "mim:tiny",
    "mim:tiny@mae:tiny",
    "@",
    ":",
    "mim:",
    "--workdir",
    "--out",
    "--on",
    "test",
]
WORDS += ["--train.batch", "--optim.lr", "--data.store", "--init.run", "--batch", "--rounds", "--seed", "--k"]
VERBS = [[verb] for verb in ("pretrain", "finetune", "ablate", "plan", "doctors", *OF_RUNS)]
VERBS += [["data", verb] for verb in ("phantom", "ingest", "info", "check", "split", "lvef", "x")]
VERBS += [["bench", verb] for verb in ("step", "loss", "augment", "loader", "checkpoint", "scale", "x")]
RECIPES = {name: load_recipe(f"{name}:tiny") for name in names()}


class Begins(BaseException):
    """Everything is checked and traced, and training would begin."""


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def begins(self):
        raise Begins

    monkeypatch.setattr(Run, "train", begins)


def changes(draw: random.Random) -> tuple[str, dict]:
    """A recipe and strange values of one to three of its options."""
    name = draw.choice(sorted(RECIPES))
    options = [option for option, _ in config.flat(RECIPES[name])]
    return name, {draw.choice(options): draw.choice(VALUES) for _ in range(draw.choice((1, 1, 2, 3)))}


def refusal(name: str, changed: dict) -> str:
    """What is said where the options are refused; nothing where they are taken."""
    try:
        config.check(config.override(RECIPES[name], changed))
    except UserError as error:
        return str(error)
    return ""


def faults_of_run(store, folder, seed: int) -> list[str]:
    """Of options that pass by themselves, and may not fit the data or each other: what is wrong with how they end."""
    draw = random.Random(seed)
    name, changed = changes(draw)
    while refusal(name, changed := {**changed, "data.store": str(store)}):
        name, changed = changes(draw)
    verb = jaxssl.finetune if name in ("segment", "classify") else jaxssl.pretrain
    try:
        verb(f"{name}:tiny", folder / "run", changed)
    except UserError as error:
        faults = {"more than a sentence": "\n" in str(error), "a trace is left": (folder / "run").exists()}
    except Begins:
        shutil.rmtree(folder / "run")
        return []
    else:
        faults = {"neither begun nor refused": True}
    return [f"{fault}: {changed}" for fault, found in faults.items() if found]


def words(draw: random.Random) -> list[str]:
    """A verb with words that may or may not be its own; those that need none are never asked for what they can do."""
    verb = draw.choice(VERBS)
    able = verb[0] == "bench" or verb[-1] == "phantom"
    return [*verb, *draw.choices(WORDS, k=draw.randrange(6)), *(["--nothing"] if able else [])]


def faults_of_answer(asked: list[str], folder, capsys) -> list[str]:
    """Words are answered in a sentence and 2, or with help and 0, in a folder where nothing could be made of them: what
    else was done."""
    try:
        code = main(asked)
    except SystemExit as stopped:  # tyro ends the program itself
        code = stopped.code
    said = capsys.readouterr()
    faults = {
        f"ended with {code}": code not in (0, 2),
        "a traceback": "Traceback" in said.err,
        "refused without a word": code != 0 and not (said.err.strip() or said.out.strip()),
        "something is left": any(folder.iterdir()),
    }
    return [f"{fault}: {shlex.join(asked)}" for fault, found in faults.items() if found]


ONCE = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(derandomize=True, max_examples=1500, **ONCE)
@given(st.integers(0, 2**64))
def test_no_value_of_an_option_makes_a_traceback(seed):
    assert "\n" not in refusal(*changes(random.Random(seed)))


@settings(derandomize=True, max_examples=10, **ONCE)
@given(st.integers(0, 2**64))
def test_options_that_pass_begin_or_are_refused(store, tmp_path, seed):
    assert not faults_of_run(store, tmp_path, seed)


@settings(derandomize=True, max_examples=40, **ONCE)
@given(st.integers(0, 2**64))
def test_words_of_any_kind_are_answered(tmp_path, monkeypatch, capsys, seed):
    monkeypatch.chdir(tmp_path)
    assert not faults_of_answer(words(random.Random(seed)), tmp_path, capsys)


@pytest.mark.slow
@settings(max_examples=1000, **ONCE)
@given(st.integers(0, 2**64))
def test_options_and_words_by_the_thousands(store, tmp_path, monkeypatch, capsys, seed):
    monkeypatch.chdir(tmp_path)
    assert not faults_of_run(store, tmp_path, seed)
    assert not faults_of_answer(words(random.Random(seed)), tmp_path, capsys)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39, 10**12])
def test_a_number_that_nothing_can_be_computed_with_is_refused_by_name(value):
    with pytest.raises(UserError, match=r"optim\.weight_decay must be a finite number of ordinary size"):
        config.check(config.override(RECIPES["mae"], {"optim.weight_decay": value}))
