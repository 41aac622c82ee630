"""Every method learns: after some hundred steps on a phantom a linear probe of its encoder is better than before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxssl.recipe import names

LEARN, SEEDS = Path(__file__).with_name("learn.py"), 3
QUICK = ("simclr",)
SUPERVISED = ("segment", "classify")
METHODS = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names() if name not in SUPERVISED
]


@pytest.mark.parametrize("name", METHODS)
def test_the_probe_of_a_pretrained_encoder_is_better_and_nothing_has_collapsed(name, tmp_path):
    cache = str(Path(__file__).parents[2] / ".cache" / "jax")
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    command = [sys.executable, str(LEARN), name, str(tmp_path), str(SEEDS)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    print(ran.stdout)
    assert "Collapse" not in ran.stderr
    seeds = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    gain = np.array([seed["after"]["accuracy"] - seed["before"]["accuracy"] for seed in seeds])
    assert len(gain) == SEEDS
    assert gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(SEEDS), gain
    for seed in seeds:
        last = seed["last"]
        assert last["embedding_std"] > 0.1
        assert seed["after"]["rank"] > 2
        if name == "dino":
            assert 0.02 < last["teacher_entropy_share"] < 0.9
            assert last["prototype_use_share"] > 0.5
