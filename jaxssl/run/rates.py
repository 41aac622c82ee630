"""How fast the trainings of a finished sweep were, for another that gives each the same time on the same hardware."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.reporting.cost import cost
from jaxssl.reporting.read import read_runs
from jaxssl.sweep import Stage
from jaxssl.workdir import Workdir, provenance


class Rates(NamedTuple):
    """What a step takes, by the name of the training, and where."""

    machine: str
    step_seconds: Mapping[str, float]


def read_rates(trainings: Mapping[str, Stage], root: Path) -> Rates:
    """What a step of each took in the sweep's folder `root`.

    It is read from the runs once and kept there, in rates-*.json: points that rest on it stay the same, even where a
    run is gone or was made again.
    """
    key = hashlib.sha256("".join(stage.key for stage in trainings.values()).encode()).hexdigest()[:10]
    path = root / f"rates-{key}.json"
    if not path.is_file():
        config.write_json(_measured(trainings, root), path)
    kept = config.read_json(path)
    return Rates(kept["hardware"], {name: own["step_seconds"] for name, own in kept["trainings"].items()})


def steps_in_time(starts: Mapping[str, Stage], root: Path, reference: str) -> tuple[str, dict[str, int]]:
    """On what hardware, and steps of each training that take as long there as those of the reference took."""
    if reference not in starts:
        raise UserError(f"--reference {reference} is not among the methods compared; there are {', '.join(starts)}.")
    rates = read_rates(starts, root)
    time = starts[reference].options["train.steps"] * rates.step_seconds[reference]
    return rates.machine, {name: max(round(time / own), 1) for name, own in rates.step_seconds.items()}


def refuse_elsewhere(stages: Sequence[Stage]) -> None:
    """On other hardware, or with another jax, steps that were counted by rates take another time."""
    facts = provenance() if any(stage.machine for stage in stages) else {}
    for stage in (stage for stage in stages if stage.machine):
        here = _machine({**facts, "devices": stage.options.get("train.devices") or facts["devices"]})
        if stage.machine != here:
            raise UserError(
                f"The steps of {stage.label} were counted by rates of {stage.machine}, and this is {here}, where they "
                "take another time: work there, or begin the whole sweep here in another --workdir."
            )


def _measured(trainings: Mapping[str, Stage], root: Path) -> dict[str, Any]:
    """From the log of each finished run; speeds on different hardware are refused."""
    folders = {name: stage.folder(root) for name, stage in trainings.items()}
    if late := [name for name, folder in folders.items() if not Workdir(folder).finished]:
        raise UserError(
            f"{root} holds no finished training of {', '.join(late)} by which steps could be timed; finish the sweep "
            "there first, with the same options."
        )
    runs = dict(zip(folders, read_runs([*folders.values()]), strict=True))
    machines = sorted({_machine(vars(run.facts)) for run in runs.values()})
    if len(machines) > 1:
        raise UserError(
            f"The trainings in {root} ran on {' and on '.join(machines)}, so that their times cannot be compared; "
            "train all on one kind of hardware."
        )
    found = {name: {"run": run.label, "step_seconds": cost(run).step_seconds} for name, run in runs.items()}
    if untimed := [name for name, own in found.items() if not own["step_seconds"] > 0]:
        raise UserError(
            f"The log of {untimed[0]} in {root} is too short to tell what a step takes; take more steps, or a smaller "
            "train.log_every."
        )
    return {"hardware": machines[0], "trainings": found}


def _machine(facts: Mapping[str, Any]) -> str:
    return f"{facts['devices']} x {facts['device']} with jax {facts['jax']}"
