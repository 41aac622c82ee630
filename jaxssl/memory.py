"""How much memory can still be had, what becomes of memory that is freed, and how often garbage is looked for."""

import ctypes
import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

MACHINE, GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
ONE_HEAP, NO_MAPS, NEVER_GIVEN_BACK = (-8, 1), (-4, 0), (-1, -1)
"""glibc's M_ARENA_MAX, M_MMAP_MAX and M_TRIM_THRESHOLD, as its malloc.h numbers them, with what each is set to."""

SELDOM = (50_000, 10, 10)
"""Objects more than there were, at which Python looks for garbage among the youngest, and how many such looks go by
before it looks among older ones."""


def available(machine: Path = MACHINE, group: Path = GROUP) -> int:
    """Bytes without swapping: of the machine, or of the control group (a container) where that is less."""
    facts = dict(line.split(":", 1) for line in machine.read_text().splitlines())
    free = int(facts["MemAvailable"].split()[0]) * 1024
    limit, used = group / "memory.max", group / "memory.current"
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        free = min(free, int(text) - int(used.read_text()))
    return free


def keep_freed() -> bool:
    """Have this process keep the memory that it frees, for what asks next; whether it will.

    A step on a CPU asks for all of its memory anew. What is large comes from the system and goes back to it, and each
    of its pages is cleared when it is first touched, step by step. Each thread has a heap of its own that ends early,
    so this is for before jax computes anything: it is told as well to begin no step before the last one has ended, or
    both would hold their memory. Nothing is done where jax may find an accelerator, or without glibc.
    """
    if platform.libc_ver()[0] != "glibc" or not _cpu_alone():
        return False
    import jax  # takes a second, which not all who ask for memory have to wait

    jax.config.update("jax_cpu_enable_async_dispatch", False)
    set_option = ctypes.CDLL(None).mallopt
    return all(set_option(*option) for option in (ONE_HEAP, NO_MAPS, NEVER_GIVEN_BACK))


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Have Python look for garbage seldom, unless it was told so already.

    Python looks whenever there are some hundred objects more. The few looks among all objects take most of the time
    and find nothing, for what is imported and traced stays.
    """
    before = gc.get_threshold()
    if 0 < before[0] < SELDOM[0]:
        gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _cpu_alone() -> bool:
    """Whether jax has nothing else to choose, as far as can be told before it begins."""
    if asked := os.environ.get("JAX_PLATFORMS"):
        return asked == "cpu"
    return not entry_points(group="jax_plugins") and find_spec("libtpu") is None
