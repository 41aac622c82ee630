"""What the command line refuses, and how: one sentence on stderr, exit code 2, nothing half-written."""

import contextlib
import errno
import json
import os
import re
import subprocess
import sys

import pytest

from jaxssl import config
from jaxssl.cli import VERBS, main
from jaxssl.cli.told import EXAMPLES
from jaxssl.run.terminal import console_of
from jaxssl.version import __version__
from jaxssl.workdir import commit

TINY = ["--train.steps", "2"]


def refused(capsys, *words: str) -> str:
    """The sentence that refuses these words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        try:
            code = main(words)
        except SystemExit as stopped:  # tyro ends the program itself
            code = stopped.code
    said = capsys.readouterr()
    assert code == 2
    assert "Traceback" not in said.err
    return said.err


def test_alone_it_greets_with_the_five_things_to_do_next(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"^(\d)  ", said, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert all(verb in said for verb in VERBS)


@pytest.mark.parametrize("verb", ["data", "bench", *EXAMPLES])
def test_the_help_of_every_verb_fits_a_screen_and_has_an_example(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    with contextlib.suppress(SystemExit):
        assert main([*verb.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert "Example: jaxssl " in said
    assert EXAMPLES.get(verb, "") in " ".join(said.split())
    assert len(said.splitlines()) <= 50
    # tyro writes the first line, which lists the options in short.
    assert max(map(len, said.splitlines()[1:])) <= 90


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["pretrian"], "no verb 'pretrian'; the nearest is 'pretrain'"),
        (["pretrain", "simcrl:tiny"], "no recipe 'simcrl'; the nearest is 'simclr', of"),
        (["pretrain", "simclr:smal"], "no variant 'smal'; the nearest is 'small', of"),
        (["pretrain"], "needs a recipe"),
        (["pretrain", "simclear"], "no recipe 'simclear'"),
        (["pretrain", "simclr:huge"], "no variant 'huge'"),
        (["pretrain", "nowhere.py"], "no recipe file nowhere.py"),
        (["pretrain", "simclr:tiny", "--optim.lrr", "1"], "--optim.lr"),
        (["pretrain", "simclr:tiny", "--optim.lr", "fast"], "--optim.lr"),
        (["pretrain", "simclr:tiny", "--optim.lr", "-1"], "optim.lr must be above 0"),
        (["pretrain", "simclr:tiny", "--train.batch", "60", "--train.micro-batches", "7"], "not divisible by"),
        (["pretrain", "simclr:tiny", "--train.batch", "12"], "model.norm.group 8 does not divide"),
        (["pretrain", "simclr:tiny", "--method.temperature", "0"], "method.temperature"),
        (["pretrain", "simclr:tiny", "--data.layout.size", "33", "24"], "divisible by 2"),
        (["pretrain", "mim:tiny", "--method.patch", "5"], "does not divide the image size"),
        (["pretrain", "simclr:tiny", "--data.store", "nowhere"], "nowhere is not a folder"),
        (["pretrain", "simclr:tiny", "--train.epochs", "1"], "set the other to None"),
        (["pretrain", "simclr:tiny", "--train.seed", "-1"], "train.seed must be at least 0"),
        (["finetune", "simclr:tiny"], "learns without labels"),
        (["finetune", "segment:tiny", "--data.no-masks"], "Segmentation learns from masks"),
        (["finetune", "segment:tiny", "--method.scales", "5"], "5 scales were asked for"),
        (["finetune", "segment:tiny", "--data.fractions", "0.8", "0.2", "0.0"], "There is no test subject by"),
        (["probe", ".", "--k", "0"], "k of at least 1"),
        (["report", "nowhere"], "no run folder nowhere"),
        (["probe", "nowhere"], "nowhere is no run folder"),
        (["data", "info", "nowhere"], "nowhere is not a folder"),
        (["pretrain", "simclr:tiny", "--device", "tpu"], "A tpu was asked for and jax finds none"),
    ],
)
def test_wrong_words_are_refused(words, sentence, capsys, tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    if words[0] in ("pretrain", "finetune") and "--data.store" not in words and len(words) > 1:
        words = [*words, "--data.store", str(store)]
    assert sentence in refused(capsys, *words)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    ["def get_config(:", "import nothing_like_this", "x = 1", "get_config = 3", "def get_config(variant): pass"],
)
def test_an_unreadable_recipe_is_named(content, capsys, tmp_path):
    recipe = tmp_path / "mine.py"
    recipe.write_text(content)
    assert "mine.py" in refused(capsys, "pretrain", str(recipe))


def test_a_crop_larger_than_the_set_or_a_batch_larger_than_the_data_is_refused(capsys, tmp_path, store):
    words = ["pretrain", "simclr:tiny", "--data.store", str(store), "--workdir", str(tmp_path / "a")]
    assert "larger than the" in refused(capsys, *words, "--train.batch", "4096")
    assert not (tmp_path / "a").exists()


def test_print_config_is_what_is_read_back(capsys, store):
    assert main(["pretrain", "simclr:tiny", "--optim.lr", "0.5", "--print-config"]) == 0
    recipe = config.from_dict(json.loads(capsys.readouterr().out), "stdout")
    assert recipe.optim.lr == 0.5
    assert recipe.name == "simclr:tiny"


def test_a_workdir_without_permission_is_refused(capsys, tmp_path, store):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    words = ["pretrain", "simclr:tiny", "--data.store", str(store), "--workdir", str(blocked / "run")]
    assert "cannot be written" in refused(capsys, *words)


def test_a_notebook_is_spoken_to_as_a_log_file(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert not console_of(None).is_jupyter


def test_debug_shows_the_traceback(capsys):
    assert main(["report", "nowhere", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "make room there, and give the same command again."),
        (errno.EDQUOT, "make room there, and give the same command again."),
        (errno.EACCES, "choose a place that can be read and written."),
        (errno.EROFS, "choose a place that can be read and written."),
        (errno.EIO, "the same command with --debug shows where."),
    ],
)
def test_an_error_of_the_system_comes_with_advice_that_fits_it(code, advice, capsys, monkeypatch):
    def fail(words):
        raise OSError(code, os.strerror(code), "a file")

    monkeypatch.setitem(VERBS, "doctor", fail)
    assert refused(capsys, "doctor") == f"jaxssl: a file: {os.strerror(code)}; {advice}\n"


def test_without_git_a_checkout_is_known_by_its_version(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == f"release {__version__}"


def test_a_full_disk_is_told_in_one_sentence(store, tmp_path):
    """A limit on the size of files stands in for a disk without space."""
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
    code = limited + "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code += "from jaxssl.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["pretrain", "simclr:tiny", "--data.store", str(store), "--workdir", str(tmp_path / "a")]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "jaxssl: " in ran.stderr
