"""How much memory can still be had."""

from pathlib import Path

MACHINE, GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def available(machine: Path = MACHINE, group: Path = GROUP) -> int:
    """Bytes without swapping: of the machine, or of the control group (a container) where that is less."""
    facts = dict(line.split(":", 1) for line in machine.read_text().splitlines())
    free = int(facts["MemAvailable"].split()[0]) * 1024
    limit, used = group / "memory.max", group / "memory.current"
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        free = min(free, int(text) - int(used.read_text()))
    return free
