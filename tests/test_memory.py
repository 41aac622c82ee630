"""The memory that can be had: that of the machine, or of the container where that is less; what is freed is kept."""

import gc
import platform
import subprocess
import sys

import pytest

import jaxssl
from jaxssl.cli import VERBS, main
from jaxssl.errors import UserError
from jaxssl.memory import SELDOM, available, seldom_collected
from jaxssl.run.begun import Run

MACHINE = "MemTotal: 900 kB\nMemAvailable:   500 kB\nHugePages_Total: 0\n"


@pytest.mark.parametrize(
    ("limit", "used", "wanted"),
    [(None, None, 512_000), ("max", "7", 512_000), ("400000", "300000", 100_000), ("900000", "1", 512_000)],
)
def test_a_container_may_have_less_than_its_machine(limit, used, wanted, tmp_path):
    machine = tmp_path / "meminfo"
    machine.write_text(MACHINE)
    for name, text in {"memory.max": limit, "memory.current": used}.items():
        if text is not None:
            (tmp_path / name).write_text(f"{text}\n")
    assert available(machine, tmp_path) == wanted


USUAL = (700, 10, 10)


@pytest.fixture
def told():
    """Sets how often garbage is looked for; afterwards it is as before."""
    before = gc.get_threshold()
    yield gc.set_threshold
    gc.set_threshold(*before)


@pytest.mark.parametrize(("usual", "then"), [(USUAL, SELDOM), ((0, 10, 10), (0, 10, 10)), ((10**6, 5, 5),) * 2])
def test_garbage_is_looked_for_seldom_and_then_as_before(usual, then, told):
    told(*usual)
    with seldom_collected():
        assert gc.get_threshold() == then
    assert gc.get_threshold() == usual


def test_commands_and_trainings_look_for_it_seldom(told, monkeypatch):
    looks = []

    def look(*_):
        looks.append(gc.get_threshold())
        raise UserError("Seen.")

    monkeypatch.setitem(VERBS, "doctor", look)
    monkeypatch.setattr(Run, "begin", look)
    told(*USUAL)
    main(["doctor"])
    with pytest.raises(UserError, match="Seen"):
        jaxssl.pretrain("mim:tiny", "nowhere")
    assert looks == [SELDOM] * 2
    assert gc.get_threshold() == USUAL


# Pages that were touched for the first time while a thread took 200 MB once more.
AGAIN = """
import resource, sys, threading
import numpy as np
from jaxssl.memory import keep_freed

kept, faults = "keep" in sys.argv and keep_freed(), []

def take():
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.full(25_000_000, 1.0)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=take)
thread.start()
thread.join()
import jax
print(int(kept), faults[1], int(jax.config.values["jax_cpu_enable_async_dispatch"]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="Other C libraries have no such options.")
def test_memory_that_is_kept_has_not_to_be_cleared_again():
    def again(*words: str) -> tuple[int, ...]:
        ran = subprocess.run([sys.executable, "-c", AGAIN, *words], capture_output=True, text=True, check=True)
        return tuple(map(int, ran.stdout.split()))

    (kept, few, overlapping), (_, many, otherwise) = again("keep"), again()
    assert kept == 1
    assert few < 100 < many
    assert (overlapping, otherwise) == (0, 1)
