"""Runs the tests that need several devices in a process of their own: devices are simulated, and flags come first."""

import os
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent / "multidevice"


def test_on_eight_simulated_devices():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-m", "pytest", "-q", str(FOLDER)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(ran.stdout[-20000:])
    assert ran.returncode == 0, ran.stdout[-6000:]
