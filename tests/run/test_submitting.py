"""Points of a sweep handed over to a cluster."""

import contextlib
import os
import sys
import types
from pathlib import Path

import pytest
import sweeping
from sweeping import EVERYTHING, recipe_of

import jaxssl
from jaxssl.errors import UserError
from jaxssl.sweep import load_study


def test_without_submitit_it_says_how_to_go_on(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"wants submitit.*--only i/n"):
        jaxssl.ablate(study, tmp_path / "sweep", submit="slurm")


def test_jobs_are_handed_over_as_one_array_that_covers_the_points(study, journal, tmp_path, monkeypatch):
    handed, settings = [], {}

    class AutoExecutor:
        def __init__(self, folder, cluster):
            settings.update(folder=folder, cluster=cluster, batches=0)

        def update_parameters(self, **parameters):
            settings.update(parameters)

        def batch(self):
            settings["batches"] += 1
            return contextlib.nullcontext()

        def submit(self, function, **call):
            handed.append((function, call))
            return types.SimpleNamespace(job_id=f"7_{len(handed)}")

    monkeypatch.setitem(sys.modules, "submitit", types.SimpleNamespace(AutoExecutor=AutoExecutor))
    root = tmp_path / "sweep"
    jaxssl.ablate(study, root, submit="slurm", jobs=4, slurm=("time=30", "partition=gpu"), lr=0.5)
    assert settings == {
        "folder": root / "jobs",
        "cluster": "slurm",
        "batches": 1,
        "name": "jaxssl",
        "timeout_min": 1440,
        "slurm_time": 30,
        "slurm_partition": "gpu",
    }
    assert not journal.exists()
    # What the jobs do when they run, one after the other here.
    states = [function(**call) for function, call in handed]
    assert sorted(name for each in states for name in each) == sorted(p.name for p in load_study(study).points({}))
    assert sweeping.verbs(journal) == EVERYTHING
    assert {recipe_of(root).optim.lr} == {0.5}


@pytest.fixture
def queue(tmp_path, monkeypatch) -> Path:
    """What a SLURM that only takes note is handed."""
    pytest.importorskip("submitit")
    bin, handed = tmp_path / "bin", tmp_path / "handed.sh"
    bin.mkdir()
    for command, does in {"sbatch": f'cp "$1" {handed}; echo Submitted batch job 12', "srun": "true"}.items():
        (bin / command).write_text(f"#!/bin/sh\n{does}\n")
        (bin / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}:{os.environ['PATH']}")
    return handed


def test_submitit_makes_an_array_of_the_jobs(study, journal, tmp_path, queue, capsys):
    jaxssl.ablate(study, tmp_path / "sweep", submit="slurm", jobs=3, slurm=("time=30", "gpus_per_node=1"))
    script = queue.read_text()
    assert all(line in script for line in ("#SBATCH --array=0-2%", "#SBATCH --time=30", "#SBATCH --gpus-per-node=1"))
    assert "Jobs 12_0, 12_1, 12_2" in capsys.readouterr().err
    with pytest.raises(UserError, match="slurm_tiem"):
        jaxssl.ablate(study, tmp_path / "sweep", submit="slurm", slurm=("tiem=30",))
