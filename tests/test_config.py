"""Overrides, checks and the JSON form of configuration."""

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim


@dataclass(frozen=True)
class Pair:
    optim: Optim
    train: Train


PAIR = Pair(Optim(), Train(steps=10))


def test_override_by_dotted_name_changes_that_value_alone():
    changed = config.override(PAIR, {"optim.lr": 0.25, "train.batch": 128})
    assert changed == Pair(Optim(lr=0.25), Train(steps=10, batch=128))
    assert PAIR.optim.lr == 1e-3


def test_an_int_serves_for_a_float_and_stays_one_in_json():
    assert config.override(PAIR, {"optim.lr": 1}).optim.lr == 1.0


@pytest.mark.parametrize(
    ("name", "nearest"), [("optim.lrr", "optim.lr"), ("train.bach", "train.batch"), ("optim.lr.x", "optim.lr")]
)
def test_a_mistyped_name_is_refused_with_the_nearest(name, nearest):
    with pytest.raises(UserError, match=f"the nearest is '{nearest}'"):
        config.override(PAIR, {name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.batch", "64"),
        ("train.batch", True),
        ("train.batch", None),
        ("optim.nesterov", 1),
        ("optim.name", "adamx"),
        ("optim.lr", None),
        ("optim.clip_norm", "1"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(name, value):
    with pytest.raises(UserError, match=name):
        config.override(PAIR, {name: value})


def test_check_reaches_the_parts():
    with pytest.raises(UserError, match=r"optim\.lr"):
        config.check(replace(PAIR, optim=Optim(lr=-1)))
    with pytest.raises(UserError, match=r"not divisible by train\.micro_batches 3"):
        config.check(replace(PAIR, train=Train(steps=1, batch=64, micro_batches=3)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (Train(steps=1, steps_per_dispatch=3, log_every=10), r"train\.log_every 10 is not a multiple"),
        (Train(steps=1, steps_per_dispatch=4, log_every=4, checkpoint_every=6), r"train\.checkpoint_every 6 is not"),
        (Train(steps=1, average=1.0), r"train\.average is a decay in \(0, 1\)"),
        (Train(steps=0), r"takes train\.steps of at least 1, or train\.epochs above 0, not 0"),
        (Train(steps=1, fsdp=0), r"train\.fsdp must be at least 1"),
        (Optim("lamb", nesterov=True), r"optim\.nesterov belongs to sgd and lars, not to lamb"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, sentence):
    with pytest.raises(UserError, match=sentence):
        options.check()


@given(st.floats(1e-9, 1e3), st.integers(1, 10**6), st.booleans(), st.sampled_from(["adamw", "sgd", "lars"]))
def test_what_is_written_is_read_back(lr, steps, nesterov, name):
    optim, train = Optim(name, lr=lr, nesterov=nesterov), Train(steps=steps)
    for options in (optim, train):
        plain = json.loads(json.dumps(config.to_dict(options)))
        assert config.from_dict(plain, "here") == options


@pytest.mark.parametrize("kind", ["os:system", "jaxssl.config:override", "jaxssl.nowhere:Optim", None, 3, "jaxssl"])
def test_only_this_packages_configuration_is_read_back(kind):
    with pytest.raises(UserError, match=r"somewhere\.json.*; (name a file that it|take the one that wrote it)"):
        config.from_dict({"kind": kind, "lr": 1.0}, "somewhere.json")


def test_an_unknown_option_in_a_file_is_named():
    plain = {**config.to_dict(Optim()), "learning": 3}
    with pytest.raises(UserError, match="learning"):
        config.from_dict(plain, "somewhere.json")


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00"])
def test_a_damaged_file_gives_one_sentence(tmp_path, content):
    path = tmp_path / "recipe.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"recipe\.json .*; bring back one that is whole"):
        config.read_json(path)
    path.unlink()
    with pytest.raises(UserError, match=r"recipe\.json is missing; bring it back"):
        config.read_json(path)
