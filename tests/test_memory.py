"""The memory that can be had is that of the machine, or of the container where that is less."""

import pytest

from jaxssl.memory import available

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
