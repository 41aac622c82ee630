"""A run whose steps are not finite stops, keeps what the last of them was given, and `replay` names the operation."""

import json
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxssl
from jaxssl.cli import main
from jaxssl.errors import UserError
from jaxssl.run.dump import read_dump
from jaxssl.train.checkpoint import read

# As a function of that name stands before it in the package.
module = sys.modules["jaxssl.run.replay"]
DIVERGING = {
    "train.steps": 12,
    "train.max_skipped": 2,
    "train.checkpoint_every": 1,
    "optim.name": "sgd",
    "optim.lr": 1e30,
    "data.layout.size": (16, 12),
    "data.layout.spacing": 8.0,
}


@pytest.fixture(scope="module")
def stopped(store, tmp_path_factory):
    """A run whose first step leads so far that no other one is finite, and what it said."""
    workdir = tmp_path_factory.mktemp("run") / "diverged"
    with pytest.raises(UserError) as refused:
        jaxssl.pretrain("simclr:tiny", workdir, {**DIVERGING, "data.store": str(store)})
    return workdir, str(refused.value)


def test_a_run_that_stops_keeps_state_batch_and_key_of_the_step(stopped, store):
    workdir, said = stopped
    dump = workdir / "not-finite-2"
    assert f"jaxssl replay {dump}" in said
    kept = read_dump(dump, pytest.fail)
    saved = read(workdir / "checkpoints", pytest.fail).state
    for name in ("params", "carry", "moments"):
        jax.tree.map(np.testing.assert_array_equal, getattr(kept.state, name), saved[name])
    assert (int(kept.state.seed), int(kept.state.step), int(kept.state.skipped)) == (0, 2, 2)
    assert kept.batch["image"].shape == (8, 16, 12, 1)
    assert len(set(kept.batch["id"])) == 8
    assert json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])["skipped_in_a_row"] == 2


def test_replay_names_the_first_bad_operation_and_its_line(stopped, capsys):
    assert main(["replay", str(stopped[0] / "not-finite-2")]) == 0
    said = capsys.readouterr().out
    assert "Step 3 is not finite in float32 either." in said
    assert "conv_general_dilated at jaxssl/models/" in said
    assert "level0" in said
    assert "not finite." in said


def read_again(stopped, precision, factor=1.0):
    """What the run kept, as of a run in that precision whose parameters were so many times as large."""
    kept = read_dump(stopped[0] / "not-finite-2", pytest.fail)
    recipe = replace(kept.recipe, train=replace(kept.recipe.train, precision=precision))
    params = jax.tree.map(lambda p: p * np.float32(factor), kept.state.params)
    return replace(kept, recipe=recipe, state=replace(kept.state, params=params))


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("float32", "Step 3 is finite when it is taken again here: the fault lies in other hardware"),
        ("bfloat16", "Step 3 is finite here in float32 and in bfloat16: the fault lies in other hardware"),
    ],
)
def test_a_step_that_is_finite_here_is_said_to_be(stopped, precision, said):
    assert module._said(read_again(stopped, precision, factor=1e-30)).startswith(said)


def test_of_a_step_that_only_half_precision_spoils_the_operation_there_is_named(stopped, monkeypatch):
    dump = read_again(stopped, "bfloat16")
    blamed = module._blamed(dump, "bfloat16")
    monkeypatch.setattr(module, "_blamed", lambda dump, dtype: blamed if dtype == "bfloat16" else None)
    said = module._said(dump)
    assert said.startswith("Step 3 is finite in float32 (--train.precision float32). In bfloat16: The first operation")
    assert "bfloat16[" in said


def test_a_dump_that_another_version_has_made_is_refused(stopped):
    dump = read_again(stopped, "float32")
    params = dump.state.params
    for other in ({}, jax.tree.map(lambda p: p[..., :1], params), jax.tree.map(lambda p: p[None], params)):
        with pytest.raises(UserError, match=r"cannot be taken again by this version of jaxssl .*; use the one"):
            module._said(replace(dump, state=replace(dump.state, params=other)))


def test_what_is_no_dump_is_refused(stopped, tmp_path, capsys):
    for folder in (tmp_path, stopped[0] / "checkpoints"):
        assert main(["replay", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "no checkpoints" in said
    assert "is no dump of a step" in said
