"""What the PyTorch peers share: the device and the threads that they compute with, and what they say of themselves."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from jaxssl.bench.serve import Side

THREADS = len(os.sched_getaffinity(0))
ON_CPU = os.environ.get("JAX_PLATFORMS") == "cpu" or not torch.cuda.is_available()
DEVICE = torch.device("cpu" if ON_CPU else "cuda")
# With --threads 1 two workers share a core on purpose.
warnings.filterwarnings("ignore", message="This DataLoader will create")


def nothing(folder: Path) -> None:
    """No results to compare."""


def side(
    run: Callable[[int], Any], check: Callable[[Path], Any] = nothing, on_host: bool = ON_CPU, workers: bool = False
) -> Side:
    """A side with as many threads as there are cores for it; on a GPU a turn ends when the GPU has finished."""
    torch.set_num_threads(THREADS)
    facts = {
        "platform": "cpu" if on_host else "gpu",
        "threads": torch.get_num_threads(),
        "version": f"torch {torch.__version__}",
    }
    if on_host:
        return Side(run, check, workers=workers, facts=facts)
    # As jax multiplies float32 on a GPU unless told otherwise.
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    facts["float32"] = "TF32"
    idle = torch.cuda.memory_allocated()

    def run_to_the_end(count: int) -> None:
        run(count)
        torch.cuda.synchronize()

    return Side(run_to_the_end, check, lambda: torch.cuda.max_memory_allocated() - idle, facts=facts)
