"""Looks over the machine and the installation before a run does, and says what to mend.

`look` gathers facts, `diagnose` judges them without touching the machine, `doctor` prints the judgement.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import jax
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxssl.files import can_be_made
from jaxssl.memory import available

GIB = 2**30
ENOUGH_MEMORY = 4 * GIB
ENOUGH_DISK = 5 * GIB
ENOUGH_FILES = 1024
SIGNS_OF_TPU = ("TPU_NAME", "TPU_ACCELERATOR_TYPE", "TPU_WORKER_ID")
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Package:
    """A package jaxssl stands on: what is installed ("" if nothing), and the versions it was tested with."""

    name: str
    installed: str
    tested: str


@dataclass(frozen=True)
class Device:
    """One device as jax sees it; memory in bytes, None where jax does not say."""

    kind: str
    memory: int | None


@dataclass(frozen=True)
class Machine:
    """The facts that the diagnosis rests on. Sizes in bytes."""

    python: str
    tested_pythons: tuple[str, ...]
    packages: tuple[Package, ...]
    plugins: tuple[str, ...]
    platform: str
    devices: tuple[Device, ...]
    refusal: str
    asked_platforms: str
    gpus: tuple[str, ...]
    tpu: bool
    cores: int
    memory: int
    folder: Path
    folder_writable: bool
    disk: int
    open_files: int
    cache: Path | None
    cache_writable: bool


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found, whether that is well, and if not, the mend."""

    subject: str
    found: str
    verdict: Literal["ok", "warn", "fail"] = "ok"
    mend: str = ""


def diagnose(machine: Machine) -> list[Finding]:
    """Judge every fact of a machine."""
    return [
        _python(machine),
        *_packages(machine),
        *_devices(machine),
        *_unused_accelerators(machine),
        *_host(machine),
        *_folders(machine),
    ]


def _python(machine: Machine) -> Finding:
    if not machine.tested_pythons:
        return Finding("Python", machine.python, "warn", "jaxssl itself is not installed: pip install -e .")
    if machine.python.rpartition(".")[0] in machine.tested_pythons:
        return Finding("Python", machine.python)
    tested = ", ".join(machine.tested_pythons)
    mend = f"jaxssl is tested on {tested}: use one of these if something breaks."
    return Finding("Python", machine.python, "warn", mend)


def _packages(machine: Machine) -> Iterator[Finding]:
    for package in machine.packages:
        install = f"pip install '{package.name}{package.tested}'"
        if not package.installed:
            yield Finding(package.name, "missing", "fail", install)
        elif not SpecifierSet(package.tested).contains(package.installed, prereleases=True):
            yield Finding(package.name, package.installed, "warn", f"tested with {package.tested}: {install}")
        else:
            yield Finding(package.name, package.installed)


def _devices(machine: Machine) -> Iterator[Finding]:
    if machine.refusal:
        mend = "Look at the driver, or install the plugin: pip install 'jaxssl[cuda]' or 'jaxssl[tpu]'."
        if machine.asked_platforms:
            mend = f"JAX_PLATFORMS={machine.asked_platforms} asks for it: unset that, or install the plugin for it."
        yield Finding("devices", machine.refusal, "fail", mend)
    for kind in sorted({device.kind for device in machine.devices}):
        memories = [device.memory for device in machine.devices if device.kind == kind]
        size = f", {_gib(memories[0])} each" if memories[0] is not None else ""
        yield Finding("devices", f"{len(memories)} x {kind} ({machine.platform}){size}")


def _unused_accelerators(machine: Machine) -> Iterator[Finding]:
    if machine.platform not in ("", "cpu"):
        return
    if machine.gpus:
        names = ", ".join(sorted(set(machine.gpus)))
        yield Finding("NVIDIA GPU", f"{len(machine.gpus)} x {names}, unused", "warn", _mend_unused(machine, "cuda"))
    if machine.tpu:
        yield Finding("TPU", "present, unused", "warn", _mend_unused(machine, "tpu"))


def _mend_unused(machine: Machine, extra: Literal["cuda", "tpu"]) -> str:
    if machine.asked_platforms:
        return f"JAX_PLATFORMS={machine.asked_platforms} keeps jax away from it: unset it."
    if plugins := [plugin for plugin in machine.plugins if extra in plugin]:
        return f"{', '.join(plugins)} is installed and does not start: JAX_PLATFORMS={extra} jaxssl doctor says why."
    return f"pip install 'jaxssl[{extra}]'"


def _host(machine: Machine) -> Iterator[Finding]:
    yield Finding("CPU cores", str(machine.cores))
    short = machine.memory < ENOUGH_MEMORY
    mend = "Close other programs, or train with more --train.micro-batches." if short else ""
    yield Finding("free memory", _gib(machine.memory), "warn" if short else "ok", mend)
    if machine.open_files < ENOUGH_FILES:
        yield Finding("open files", f"at most {machine.open_files}", "warn", f"ulimit -n {4 * ENOUGH_FILES}")


def _folders(machine: Machine) -> Iterator[Finding]:
    free = f"{_gib(machine.disk)} free in {machine.folder}"
    if not machine.folder_writable:
        yield Finding("disk", f"{machine.folder} cannot be written to", "fail", "Go to a folder of your own.")
    elif machine.disk < ENOUGH_DISK:
        yield Finding("disk", free, "warn", "Make room: a store and some checkpoints want a few GiB.")
    else:
        yield Finding("disk", free)
    if machine.cache and not machine.cache_writable:
        mend = "Every start compiles anew: set JAX_COMPILATION_CACHE_DIR to a folder of your own."
        yield Finding("compile cache", f"{machine.cache} cannot be written to", "warn", mend)
    elif machine.cache:
        yield Finding("compile cache", str(machine.cache))


def look() -> Machine:
    """Gather the facts from this machine; starts jax on whatever it finds."""
    devices, platform, refusal = _see_devices()
    folder, cache = Path.cwd(), jax.config.values["jax_compilation_cache_dir"]
    return Machine(
        python=".".join(map(str, sys.version_info[:3])),
        tested_pythons=_tested_pythons(),
        packages=_required_packages(),
        plugins=tuple(name for name in ("jax-cuda12-plugin", "jax-cuda13-plugin", "libtpu") if _installed(name)),
        platform=platform,
        devices=devices,
        refusal=refusal,
        asked_platforms=os.environ.get("JAX_PLATFORMS", ""),
        gpus=_nvidia_gpus(),
        tpu=bool(list(Path("/dev").glob("accel*"))) or any(sign in os.environ for sign in SIGNS_OF_TPU),
        cores=len(os.sched_getaffinity(0)),
        memory=available(),
        folder=folder,
        folder_writable=os.access(folder, os.W_OK),
        disk=shutil.disk_usage(folder).free,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        cache=Path(cache) if cache else None,
        cache_writable=bool(cache) and can_be_made(Path(cache)),
    )


def _see_devices() -> tuple[tuple[Device, ...], str, str]:
    try:
        devices = jax.devices()
    except (RuntimeError, AssertionError) as error:  # jax asserts where it knows no platform of the asked name
        return (), "", str(error).partition("\n")[0] or "jax finds none"
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in devices]
    seen = tuple(Device(device.device_kind, limit) for device, limit in zip(devices, limits, strict=True))
    return seen, devices[0].platform, ""


def _tested_pythons() -> tuple[str, ...]:
    prefix = "Programming Language :: Python :: "
    try:
        classifiers = metadata.metadata("jaxssl").get_all("Classifier", [])
    except metadata.PackageNotFoundError:
        return ()
    return tuple(line.removeprefix(prefix) for line in classifiers if line.startswith(prefix))


def _required_packages() -> tuple[Package, ...]:
    """What jaxssl asks for on this Python, extras left out; nothing when it is not installed itself."""
    try:
        wanted = [Requirement(line) for line in metadata.requires("jaxssl") or []]
    except metadata.PackageNotFoundError:
        return ()
    here = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return tuple(Package(one.name, _installed(one.name), str(one.specifier)) for one in here)


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _nvidia_gpus() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs of this machine, by the driver's own tool or else by its device files."""
    if tool := shutil.which("nvidia-smi"):
        try:
            asked = subprocess.run(  # noqa: S603 (fixed words, no input of anyone's)
                [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            asked = None
        if asked and asked.returncode == 0:
            return tuple(asked.stdout.split("\n")[:-1])
    return tuple("GPU" for _ in Path("/dev").glob("nvidia[0-9]*"))


def doctor() -> int:
    """Devices, versions, memory and disk of this machine, and what to mend; exit code 2 if a run cannot work."""
    findings = diagnose(look())
    show(findings, Console())
    return 2 if any(finding.verdict == "fail" for finding in findings) else 0


def show(findings: list[Finding], console: Console) -> None:
    """Print findings as a table, each mend below what it mends."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        found = Text(finding.found)
        if finding.mend:
            found.append(f"\n{finding.mend}", style="bold")
        table.add_row(Text(finding.verdict, style=COLOURS[finding.verdict]), finding.subject, found)
    console.print(table)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
