"""Kill a run anywhere, in any way: the same command goes on, and the end is that of the undisturbed run to the bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("kills", "seed"), [pytest.param(12, 1, id="12"), pytest.param(500, 2, id="500", marks=pytest.mark.slow)]
)
def test_killed_anywhere_a_run_ends_as_if_undisturbed(store, tmp_path, kills, seed):
    cache = str(ROOT / ".cache" / "jax")
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, str(Path(__file__).with_name("chaos.py")), str(store), str(tmp_path), str(kills)]
    ran = subprocess.run([*command, str(seed)], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-3000:]
    said = (tmp_path / "said.txt").read_text()
    assert "Traceback" not in said
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["kills"] == kills
    assert {"-9", "75"} <= found["codes"].keys(), ran.stdout
    assert found["expected"]["status"] == "finished"
    assert found["expected"]["steps"]
    assert found["ends"]
    assert all(end == found["expected"] for end in found["ends"]), ran.stdout
