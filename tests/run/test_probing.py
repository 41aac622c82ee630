"""The probe that looks on while a run is pretrained, against one made by hand of the checkpoint."""

import json
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

import jaxssl
from jaxssl.data.source import Data, Source, open_source
from jaxssl.errors import UserError
from jaxssl.recipe import load_recipe
from jaxssl.run import probing
from jaxssl.run.common import load_run
from jaxssl.run.encoder import encoder_of
from jaxssl.train.checkpoint import read
from jaxssl.train.loop import Tick, Train
from jaxssl.train.monitors import Bar
from jaxssl.workdir import existing

STEPS = 6
OPTIONS = {"train.steps": STEPS, "train.probe_label": "vendor", "train.average": 0.5, "data.fractions": (0.5, 0.2, 0.3)}


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def probed(store, tmp_path_factory):
    """A run that is probed every second step, one that is not, and whose images were looked at."""
    folder, seen, embed = tmp_path_factory.mktemp("runs"), set(), probing.embed
    options = {**OPTIONS, "data.store": str(store)}

    def noted(encode, cache, rows, batch):
        seen.update(np.asarray(cache.names["subject"])[cache.table["subject"][rows]])
        return embed(encode, cache, rows, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "embed", noted)
        jaxssl.pretrain("mim:tiny", folder / "probed", {**options, "train.probe_every": 2})
    jaxssl.pretrain("mim:tiny", folder / "not", {**options, "train.probe_every": 0})
    return folder, seen


def test_the_state_and_all_other_metrics_are_those_without_it(probed):
    folder, _ = probed
    states = [read(folder / name / "checkpoints", pytest.fail).state for name in ("probed", "not")]
    jax.tree.map(np.testing.assert_array_equal, *states)
    written, bare = lines(folder / "probed"), lines(folder / "not")
    assert [line["step"] for line in written if "probe/knn" in line] == [2, 4, 6]
    assert [{name: line[name] for name in line if not name.startswith("probe/")} for line in written] == bare


def test_no_test_subject_is_looked_at(probed, store):
    split = open_source(Data(str(store), fractions=OPTIONS["data.fractions"])).split
    assert probed[1] == {*split.train, *split.validation}


def test_its_values_are_those_of_the_weights_that_are_handed_on(probed):
    """By scikit-learn, from embeddings that the finished run's own encoder makes."""
    workdir = existing(probed[0] / "probed")
    loaded = load_run(workdir, pytest.fail)
    source = open_source(loaded.recipe.data)
    training, validation = probing._chosen(source, "vendor")
    encode, cache = encoder_of(loaded, workdir), source.cache
    known, asked = (probing.embed(encode.encode, cache, part.rows, 16) for part in (training, validation))
    near = KNeighborsClassifier(20, metric="cosine", weights=lambda d: np.exp((d.min(1, keepdims=True) - d) / 0.07))
    last = lines(probed[0] / "probed")[-1]
    assert last["probe/knn"] == pytest.approx(near.fit(known, training.codes).score(asked, validation.codes), abs=0.04)

    mean, std = known.mean(0, dtype=np.float64), known.std(0, dtype=np.float64)
    signs = 2.0 * (training.codes[:, None] == np.unique(training.codes)) - 1
    ridge = Ridge(alpha=len(known)).fit((known - mean) / std, signs)
    answers = np.unique(training.codes)[ridge.predict((asked - mean) / std).argmax(1)]
    assert last["probe/linear"] == pytest.approx(np.mean(answers == validation.codes), abs=0.04)
    assert last["probe/chance"] == np.bincount(validation.codes).max() / len(validation.codes)


def test_a_continued_run_has_each_value_once(probed, store, tmp_path, monkeypatch):
    def interrupted(bar, tick):
        if tick.step == 5:
            raise KeyboardInterrupt

    options, workdir = {**OPTIONS, "data.store": str(store), "train.probe_every": 2}, tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Bar, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            jaxssl.pretrain("mim:tiny", workdir, options)
    jaxssl.pretrain("mim:tiny", workdir, options)
    assert (workdir / "metrics.jsonl").read_bytes() == (probed[0] / "probed" / "metrics.jsonl").read_bytes()


def test_its_seconds_are_told_and_what_is_left_of_the_step_is_none_of_them(monkeypatch):
    clock = SimpleNamespace(perf_counter=lambda: clock.now, now=0.0)

    class Step(Tick):
        @property
        def values(self):
            clock.now += 100.0  # the device comes to the end of the step
            return {}

    def embed(*_):
        clock.now += 5.0

    monkeypatch.setattr(probing, "time", clock)
    monkeypatch.setattr(probing, "embed", embed)
    monkeypatch.setattr(probing, "_scores", lambda *_: {})
    some = probing.Labelled(np.arange(2), np.arange(2))
    tick = Step(2, 4, None, {}, 0.0, probed=1.0)
    probing.OnlineProbe(lambda *_: None, None, some, some, 16, 2)(tick)
    assert tick.probed == 6.0


def source_with(store, **labels) -> Source:
    """The store with other labels: each has a code for every subject."""
    source = open_source(Data(str(store)))
    table = {key: column for key, column in source.cache.table.items() if not key.startswith("label/")}
    codes = {f"label/{name}": np.asarray(of)[table["subject"]] for name, of in labels.items()}
    names = {**source.cache.names, **{name: [*"abcdefghij"] for name in codes}}
    return replace(source, cache=replace(source.cache, table={**table, **codes}, names=names))


def test_the_label_is_one_that_subjects_share(store):
    kinds = np.arange(10) % 2
    assert probing._subjects_label(source_with(store, centre=kinds, group=kinds)) == "group"
    assert probing._subjects_label(source_with(store, age=np.arange(10), split=kinds, vendor=kinds)) == "vendor"
    for labels in ({}, {"age": np.arange(10)}, {"group": np.zeros(10, int)}, {"group": np.full(10, -1)}):
        with pytest.raises(UserError, match="tells subjects apart; name one as"):
            probing._subjects_label(source_with(store, **labels))
    source = source_with(store, plane=kinds)
    source.cache.table["label/plane"][::2] = 0
    with pytest.raises(UserError, match="tells subjects apart"):
        probing._subjects_label(source)


def test_subjects_take_turns_and_only_known_labels_count(store, monkeypatch):
    monkeypatch.setattr(probing, "TRAINING", 7)
    codes = np.arange(10) % 2
    source = source_with(store, group=codes)
    source.cache.table["label/group"][source.cache.table["subject"] == 0] = -1
    training, _ = probing._chosen(source, "group")
    owners = source.cache.table["subject"][training.rows]
    counts = np.bincount(owners, minlength=10)
    train = [source.cache.names["subject"].index(name) for name in source.split.train]
    assert len(np.unique(training.rows)) == 7
    assert set(np.flatnonzero(counts)) == set(train) - {0}
    assert counts[counts > 0].max() - counts[counts > 0].min() <= 1
    np.testing.assert_array_equal(training.codes, codes[owners])


@pytest.mark.parametrize("asked", [{"probe_every": 1}, {"probe_label": "group"}])
def test_what_cannot_be_probed_is_refused_only_if_asked_for(store, asked):
    source, recipe = source_with(store, group=np.zeros(10, int)), load_recipe("mim:tiny", {"train.probe_every": None})
    source = replace(source, split=replace(source.split, validation=()))
    assert probing.online_probes(recipe, source, None, None, 4, None) == []
    recipe = replace(recipe, train=replace(recipe.train, **asked))
    with pytest.raises(UserError):
        probing.online_probes(recipe, source, None, None, 4, None)


def test_it_looks_ten_times_a_run_where_others_log():
    train = load_recipe("mim:tiny").train
    for steps, every, wanted in ((400, 10, 40), (401, 10, 50), (4, 1, 1), (5, 10, 10)):
        assert probing._tenth(steps, replace(train, log_every=every)) == wanted


def test_classes_that_lie_apart_are_told_apart_and_a_diverged_encoder_gives_no_value():
    rng = np.random.default_rng(0)
    known, asked = np.arange(90) % 3, np.arange(30) % 3
    embeddings = (8 * np.eye(3)[np.concatenate([known, asked])] + rng.normal(size=(120, 3))).astype(np.float32)
    assert probing._scores(known, asked, embeddings) == {"knn": 1.0, "linear": 1.0, "chance": pytest.approx(1 / 3)}
    embeddings[5] = np.inf
    found = probing._scores(known, asked, embeddings)
    assert np.isnan([found["knn"], found["linear"]]).all()


def test_looks_fall_on_steps_that_are_logged():
    for every in (15, -10):
        with pytest.raises(UserError, match=rf"probe_every {every} is not a multiple of train\.log_every 10"):
            Train(steps=100, probe_every=every).check()
    for every in (0, 20, None):
        Train(steps=100, probe_every=every).check()
