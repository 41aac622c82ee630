"""A run whose steps are not finite stops, keeps what the last of them was given, and `replay` names the operation."""

import json

import jax
import numpy as np
import pytest

import jaxssl
from jaxssl.cli import main
from jaxssl.errors import UserError
from jaxssl.run.dump import read_dump
from jaxssl.train.checkpoint import read

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


def test_what_is_no_dump_is_refused(stopped, tmp_path, capsys):
    for folder in (tmp_path, stopped[0] / "checkpoints"):
        assert main(["replay", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "no checkpoints" in said
    assert "is no dump of a step" in said
