"""The doctor's judgement of machines that are made up, and that it can look over the one it runs on."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from jaxssl import doctor
from jaxssl.doctor import GIB, Device, Finding, Machine, Package, diagnose
from jaxssl.files import can_be_made

LAPTOP = Machine(
    python="3.11.7",
    tested_pythons=("3.11", "3.12"),
    packages=(Package("jax", "0.10.2", ">=0.10.2,<0.11"),),
    plugins=(),
    platform="cpu",
    devices=(Device("cpu", None),),
    refusal="",
    asked_platforms="",
    gpus=(),
    tpu=False,
    cores=2,
    memory=16 * GIB,
    folder=Path("/home/someone"),
    folder_writable=True,
    disk=100 * GIB,
    open_files=1024,
    cache=Path("/home/someone/.cache/jax"),
    cache_writable=True,
)


def complaints(machine: Machine) -> list[Finding]:
    """What is not well."""
    return [finding for finding in diagnose(machine) if finding.verdict != "ok"]


def test_nothing_is_wrong_with_a_sound_laptop():
    assert complaints(LAPTOP) == []
    assert Finding("devices", "1 x cpu (cpu)") in diagnose(LAPTOP)
    assert Finding("free memory", "16.0 GiB") in diagnose(LAPTOP)


def test_accelerators_in_use_are_counted_with_their_memory():
    node = replace(LAPTOP, platform="gpu", devices=(Device("NVIDIA H200", 105 * GIB),) * 8, gpus=("NVIDIA H200",) * 8)
    assert complaints(node) == []
    assert Finding("devices", "8 x NVIDIA H200 (gpu), 105.0 GiB each") in diagnose(node)


@pytest.mark.parametrize(
    ("fault", "subject", "verdict", "mend"),
    [
        ({"gpus": ("NVIDIA H200",)}, "NVIDIA GPU", "warn", "pip install 'jaxssl[cuda]'"),
        ({"gpus": ("H",), "asked_platforms": "cpu"}, "NVIDIA GPU", "warn", "JAX_PLATFORMS=cpu keeps jax away"),
        (
            {"gpus": ("H",), "plugins": ("jax-cuda12-plugin",)},
            "NVIDIA GPU",
            "warn",
            "jax-cuda12-plugin is installed",
        ),
        ({"gpus": ("H",), "plugins": ("libtpu",)}, "NVIDIA GPU", "warn", "pip install 'jaxssl[cuda]'"),
        ({"tpu": True}, "TPU", "warn", "pip install 'jaxssl[tpu]'"),
        ({"tpu": True, "plugins": ("libtpu",)}, "TPU", "warn", "libtpu is installed and does not start"),
        ({"platform": "", "devices": (), "refusal": "no driver"}, "devices", "fail", "Look at the driver"),
        (
            {"platform": "", "devices": (), "refusal": "none", "asked_platforms": "cuda"},
            "devices",
            "fail",
            "JAX_PLATFORMS=cuda asks for it",
        ),
        ({"python": "3.15.0"}, "Python", "warn", "tested on 3.11, 3.12"),
        ({"python": "3.1.2"}, "Python", "warn", "tested on 3.11, 3.12"),
        ({"tested_pythons": ()}, "Python", "warn", "not installed"),
        ({"packages": (Package("jax", "", ">=0.10"),)}, "jax", "fail", "pip install 'jax>=0.10'"),
        ({"packages": (Package("jax", "0.9.1", ">=0.10"),)}, "jax", "warn", "pip install 'jax>=0.10'"),
        ({"memory": 3 * GIB}, "free memory", "warn", "micro-batches"),
        ({"open_files": 256}, "open files", "warn", "ulimit -n 4096"),
        ({"disk": 4 * GIB}, "disk", "warn", "Make room"),
        ({"folder_writable": False}, "disk", "fail", "folder of your own"),
        ({"cache_writable": False}, "compile cache", "warn", "JAX_COMPILATION_CACHE_DIR"),
    ],
)
def test_each_fault_is_found_alone_and_names_its_mend(fault, subject, verdict, mend):
    (complaint,) = complaints(replace(LAPTOP, **fault))
    assert (complaint.subject, complaint.verdict) == (subject, verdict)
    assert mend in complaint.mend


@pytest.mark.parametrize(("fault", "code"), [({}, 0), ({"disk": GIB}, 0), ({"folder_writable": False}, 2)])
def test_only_what_stops_a_run_gives_an_exit_code(monkeypatch, capsys, fault, code):
    monkeypatch.setattr(doctor, "look", lambda: replace(LAPTOP, **fault))
    assert doctor.doctor() == code
    assert "16.0 GiB" in capsys.readouterr().out


def test_the_page_shows_the_mend_below_the_fault_at_any_width():
    page = StringIO()
    doctor.show([Finding("NVIDIA GPU", "unused", "warn", "pip install 'jaxssl[cuda]'")], Console(file=page, width=50))
    fault, mend = (line.rstrip() for line in page.getvalue().splitlines())
    assert fault == "warn  NVIDIA GPU  unused"
    assert mend.strip() == "pip install 'jaxssl[cuda]'"


def test_this_machine_can_be_looked_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = doctor.look()
    assert here.folder == tmp_path
    assert here.folder_writable
    assert here.platform == "cpu"
    assert here.cores >= 1
    assert 0 < here.memory < 2**50
    assert here.cache_writable
    assert not [finding for finding in diagnose(here) if finding.verdict == "fail" and finding.subject != "disk"]


def test_a_folder_can_be_made_below_a_writable_one_and_not_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    assert can_be_made(tmp_path / "a" / "b")
    assert not can_be_made(tmp_path / "file" / "b")


def test_gpus_are_named_by_the_drivers_tool(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho NVIDIA H200\necho NVIDIA H200\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert doctor._nvidia_gpus() == ("NVIDIA H200", "NVIDIA H200")
