"""Equal time: how many steps of one training take as long as another did, on the hardware that both ran on."""

from pathlib import Path

from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.reporting.cost import cost
from jaxssl.reporting.read import Run, read_runs
from jaxssl.workdir import provenance


def steps_in_time(run: str, reference: str) -> int:
    """Steps at the speed of the finished training `run` that take as long as all of `reference`, at least one.

    They are counted where they will be taken: on other hardware, or with another jax, they take another time.
    """
    own, other = (read_runs([Path(folder)])[0] for folder in (run, reference))
    for each in (own, other):
        if not cost(each).step_seconds > 0:
            raise UserError(
                f"The log of {each.folder} is too short to tell what a step takes; take more steps, or a smaller "
                "train.log_every."
            )
    if _machine(own) != _machine(other):
        raise UserError(
            f"{own.folder} ran on {_machine(own)} and {other.folder} on {_machine(other)}, so that their times cannot "
            "be compared; train both on one kind of hardware."
        )
    facts = provenance()
    devices = config.load(own.folder / "recipe.json").train.devices or facts["devices"]
    here = _words(devices, facts["device"], facts["jax"])
    if _machine(own) != here:
        raise UserError(
            f"{own.folder}, by whose speed steps are counted, ran on {_machine(own)}, and this is {here}, where they "
            "take another time: work there, or begin the whole sweep here in another --workdir."
        )
    return max(round(cost(other).seconds / cost(own).step_seconds), 1)


def _machine(run: Run) -> str:
    return _words(run.facts.devices, run.facts.device, run.facts.jax)


def _words(devices: int, device: str, jax: str) -> str:
    return f"{devices} x {device} with jax {jax}"
