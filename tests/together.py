"""Several processes that are one run, on simulated devices."""

import os
import socket
import subprocess
import sys
from pathlib import Path

COMPILED = str(Path(__file__).parents[1] / ".cache" / "jax")


def begin_together(words: list[str], count: int, devices: int) -> list[subprocess.Popen]:
    """Start `count` Pythons with these words, and with those by which they find each other; each has its devices."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": COMPILED,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0",
    }

    def begin(index: int) -> subprocess.Popen:
        others = ["--processes", str(count)]
        if count > 1:
            others += ["--process", str(index), "--coordinator", address]
        command = [sys.executable, *words, *others]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return [begin(index) for index in range(count)]
