"""How fast the trainings of a finished sweep were, for another that gives each the same time."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.reporting.cost import cost
from jaxssl.reporting.read import read_runs
from jaxssl.sweep import Stage


def step_seconds(trainings: Mapping[str, Stage], root: Path) -> dict[str, float]:
    """What a step of each took in the sweep's folder `root`.

    It is read from the runs once and kept there, in rates-*.json: points that rest on it stay the same, even where a
    run is gone or was made again.
    """
    key = hashlib.sha256("".join(stage.key for stage in trainings.values()).encode()).hexdigest()[:10]
    kept = root / f"rates-{key}.json"
    if not kept.is_file():
        config.write_json(_measured(trainings, root), kept)
    return {name: own["step_seconds"] for name, own in config.read_json(kept)["trainings"].items()}


def _measured(trainings: Mapping[str, Stage], root: Path) -> dict[str, Any]:
    """From the log of each finished run; speeds on different hardware are refused."""
    folders = {name: stage.folder(root) for name, stage in trainings.items()}
    if late := [name for name, folder in folders.items() if not _finished(folder)]:
        raise UserError(
            f"{root} holds no finished training of {', '.join(late)} by which steps could be timed; finish the sweep "
            "there first, with the same options."
        )
    runs = dict(zip(folders, read_runs([*folders.values()]), strict=True))
    machines = sorted({f"{run.facts.devices} x {run.facts.device}" for run in runs.values()})
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


def _finished(folder: Path) -> bool:
    run = folder / "run.json"
    return run.is_file() and config.read_json(run).get("status") == "finished"
