"""A killed run continued is the run that was never killed, to the bit: what `test_chaos.py` asks of MIM each time, of
SimCLR, and as users run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxssl.train.checkpoint import read

KILLED = Path(__file__).with_name("killed.py")
STEPS, SAVED, KILLED_AT = 20, 5, 10


def words(recipe: str, store: Path, workdir: Path) -> list[str]:
    flags = f"--train.steps {STEPS} --train.checkpoint-every {SAVED} --optim.clip-norm 1.0"
    return ["pretrain", recipe, "--data.store", str(store), "--workdir", str(workdir), *flags.split()]


def run(*command: str) -> subprocess.CompletedProcess:
    cache = str(Path(__file__).parents[2] / ".cache" / "jax")
    # Without the flags of the tests: this is what users run.
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


def no_warnings(sentence: str) -> None:
    raise AssertionError(sentence)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_a_save_ends_as_if_undisturbed(store, tmp_path):
    recipe = "simclr:tiny"
    whole = run("-m", "jaxssl", *words(recipe, store, tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    killed = run(str(KILLED), str(KILLED_AT), *words(recipe, store, tmp_path / "killed"))
    assert killed.returncode == -9, killed.stderr
    assert json.loads((tmp_path / "killed" / "run.json").read_text())["status"] == "running"
    continued = run("-m", "jaxssl", *words(recipe, store, tmp_path / "killed"))
    assert continued.returncode == 0, continued.stderr
    assert "from step" in continued.stderr

    undisturbed, disturbed = (read(tmp_path / name / "checkpoints", no_warnings) for name in ("whole", "killed"))
    assert undisturbed.step == disturbed.step == STEPS
    assert undisturbed.meta == disturbed.meta
    assert undisturbed.meta["batches"] == STEPS
    jax.tree.map(np.testing.assert_array_equal, undisturbed.state, disturbed.state)
    assert undisturbed.meta["recipe"]["name"] == recipe
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "killed")]
    assert metrics[0] == metrics[1]
    assert [json.loads(line)["step"] for line in metrics[0].splitlines()] == list(range(1, STEPS + 1))
