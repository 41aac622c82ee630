"""Kill work anywhere, in any way: the same command goes on, and the end is that of undisturbed work to the bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Every program is kept: an attempt that compiles anew takes several times as long.
SETTINGS = {
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "",
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
}
FEW = {"training": (6, 1204), "ingest": (4, 1204), "sweep": (2, 1204)}
MANY = {"training": (250, 2), "ingest": (150, 2), "sweep": (100, 2)}


def killed(what: str, kills: int, seed: int, folder: Path) -> dict:
    """What `chaos.py` found, in which nothing may differ from the undisturbed work."""
    command = [sys.executable, str(Path(__file__).with_name("chaos.py")), what, str(folder), str(kills), str(seed)]
    ran = subprocess.run(command, env={**os.environ, **SETTINGS}, capture_output=True, text=True, check=False)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-3000:]
    assert "Traceback" not in (folder / "said.txt").read_text()
    found = json.loads(ran.stdout.splitlines()[-1])
    assert len(found["codes"]) == kills
    assert all(end == found["expected"] for end in found["ends"]), ran.stdout
    return found


@pytest.mark.parametrize(
    ("what", "kills", "seed"),
    [pytest.param(what, *given, id=f"{what}-{given[0]}") for what, given in FEW.items()]
    + [pytest.param(what, *given, id=f"{what}-{given[0]}", marks=pytest.mark.slow) for what, given in MANY.items()],
)
def test_killed_anywhere_work_ends_as_if_undisturbed(what, kills, seed, tmp_path):
    found = killed(what, kills, seed, tmp_path)
    assert found["ends"]
    assert -9 in found["codes"]
    if what == "training":
        assert 75 in found["codes"]
        assert (found["expected"]["status"], found["expected"]["whole"]) == ("finished", True)
