"""A run of 20,000 steps takes no more memory, files or time for a step at its end than at its beginning."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

LONG, STEPS, WARM = Path(__file__).with_name("long.py"), 20_000, 4_000
FLAGS = f"--train.steps {STEPS} --train.log-every 100 --train.checkpoint-every 1000 --train.keep 2 --processes 1"


@pytest.mark.slow
def test_a_long_run_stays_as_it_is_when_it_is_warm(store, tmp_path):
    words = ["pretrain", "mim:tiny", "--data.store", str(store), "--workdir", str(tmp_path / "run"), *FLAGS.split()]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    ran = subprocess.run(
        [sys.executable, str(LONG), *words], env=environment, capture_output=True, text=True, check=False
    )
    print(ran.stdout)
    assert ran.returncode == 0, ran.stderr[-3000:]
    looks = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert looks[-1]["step"] == STEPS
    warm = [list(look.values()) for look in looks if look["step"] >= WARM]
    step, memory, files, checkpoints, seconds = np.array(warm).T
    took, fifth = np.diff(seconds) / np.diff(step), len(step) // 5
    assert memory[-fifth:].mean() < 1.02 * memory[:fifth].mean()
    assert len(set(files)) == 1
    assert checkpoints.max() <= 3  # the two that are kept, and one that is being written
    assert np.median(took[-fifth:]) < 1.1 * np.median(took[:fifth])
