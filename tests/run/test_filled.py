"""A run outlives a disk that is really full: a small one of its own, which this user may mount for one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxssl.train.checkpoint import read

FILLED = Path(__file__).with_name("filled.py")
MOUNTED = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
MOUNT = 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"'
FLAGS = "--train.steps 96 --train.checkpoint-every 24 --train.keep 3 --processes 1"


@pytest.fixture
def disk(tmp_path) -> Path:
    path = tmp_path / "disk"
    path.mkdir()
    try:
        subprocess.run([*MOUNTED, MOUNT, path, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this user may mount nothing: {error}")
    return path


def test_a_run_goes_on_on_a_full_disk_and_saves_when_there_is_room_again(store, disk, tmp_path):
    words = ["pretrain", "mim:tiny", "--data.store", str(store), *FLAGS.split()]
    command = [*MOUNTED, MOUNT, disk, sys.executable, FILLED, disk, tmp_path / "run", *words]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "1000"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    warned = [line for line in ran.stderr.splitlines() if line.startswith("Warning")]
    saves = [line for line in warned if "could not be saved" in line]
    assert [line.split()[2] for line in saves] == ["48", "72"], ran.stderr
    assert all("the steps before it are kept" in line for line in saves)
    assert sum("metrics.jsonl cannot be written (No space left on device)" in line for line in warned) == 1
    assert "Traceback" not in ran.stderr, ran.stderr

    run = tmp_path / "run"
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["24", "96"]
    assert read(run / "checkpoints", pytest.fail).step == 96
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 97))
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
