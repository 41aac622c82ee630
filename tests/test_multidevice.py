"""Runs the tests that need several devices in processes of their own: devices are simulated, and flags come first.

In two parts that take about as long, so that they run side by side.
"""

import os
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent / "multidevice"


CONTRACT = FOLDER / "test_contract.py"
PARTS = {
    "contract": [str(CONTRACT)],
    "others": [str(FOLDER), f"--ignore={CONTRACT}"],
    "every split of every method": [str(FOLDER), "-m", "slow"],
}


@pytest.mark.parametrize("part", ["contract", "others", pytest.param([*PARTS][-1], marks=pytest.mark.slow)])
def test_on_eight_simulated_devices(part):
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-m", "pytest", "-q", *PARTS[part]]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(ran.stdout[-20000:])
    assert ran.returncode == 0, ran.stdout[-6000:]
