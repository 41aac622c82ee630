"""Verbs whose first word is a recipe, and whose flags are its options."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from jaxssl.bench.sides import Against
from jaxssl.cli.told import EXAMPLES
from jaxssl.errors import UserError

R = TypeVar("R")

USAGE = """usage: jaxssl {verb} RECIPE {own} [options]

RECIPE is NAME, NAME:variant or path/to/file.py:variant, of these names:
{names}.
RECIPE@NAME:variant is that recipe with the network of another,
as in simclr:small@mae:small.

Everything in a recipe is an option. Those that are asked for most:

  --data.store DIR        images and masks; `jaxssl data` makes such a folder
  --data.split FILE       who is trained on and who is tested on, by `jaxssl data split`
  --data.subjects N       learn from so many labelled subjects
  --init.run RUN          start from what this run has learnt
  --init.weights FILE     or from a file of weights
  --optim.lr X            the learning rate at its peak
  --train.batch N         samples of a step, over all devices
  --train.steps N         how long; or --train.epochs N --train.steps None
  --train.precision TYPE  float32 or bfloat16
  --train.seed N          another seed begins and draws otherwise
  --device cpu            where; the fastest there is unless given

jaxssl {verb} RECIPE --help lists all of a recipe's, --help-verbose explains them.

Example: {example}
"""


@dataclass(frozen=True)
class OfRecipe(Generic[R]):
    """What is done with a recipe, whose options are flags of their own."""

    recipe: Annotated[R, tyro.conf.arg(name="")]


@dataclass(frozen=True)
class Running(OfRecipe[R]):
    """What is done on the hardware at hand."""

    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Hardware to run on; auto takes the fastest there is."""


@dataclass(frozen=True)
class Training(Running[R]):
    """A run: same workdir and same command continue it."""

    workdir: Path = Path("runs/unnamed")
    """Folder of the run: recipe, checkpoints, metrics, results."""
    processes: int | None = None
    """Processes that share this run; SLURM, Kubernetes and TPU pods are asked unless given, and 1 runs alone."""
    process: int | None = None
    """Which of them this one is, from 0."""
    coordinator: str | None = None
    """HOST:PORT at which process 0 can be reached."""
    print_config: bool = False
    """Print the resolved recipe as JSON and stop."""


@dataclass(frozen=True)
class FineTuning(Training[R]):
    """A run with labels: same workdir and same command continue it."""

    on: Literal["test", "validation"] = "test"
    """Whom to evaluate on: validation subjects while there is a choice to make; `jaxssl evaluate` asks the others."""


@dataclass(frozen=True)
class Stepping(Running[R]):
    """How fast a recipe trains on this machine, and where the time of a step goes."""

    out: Path = Path("step")
    """Folder for step.jsonl, step.png and the trace."""
    rounds: int = 7
    """Turns of the step and of what it begins with."""
    seconds: float = 0.5
    """How long a turn lasts at least."""
    fed: bool = False
    """Time steps that are fed from data.store as well, as training is."""
    profile: bool = False
    """Write a trace of three steps that xprof opens."""
    against: Annotated[Against, tyro.conf.arg(name="")] = Against()


@dataclass(frozen=True)
class Planning(OfRecipe[R]):
    """What a recipe will need on devices that nobody has booked yet; needs none of them, and no data."""

    devices: int = 8
    """Devices to train on, all together."""
    chip: str = "h100"
    """Of which kind: v4, v5e, v5p, v6e, a100-40, a100-80, h100, h200, b200; or cpu, this machine, measured."""
    images: int = 100_000
    """Training images."""
    compiled: bool = True
    """Compile the step for at most 8 simulated devices to see what is exchanged; else exchanges are left out."""
    out: Path | None = None
    """Folder for plan.json; none writes nothing."""


def pretrain(words: Sequence[str]) -> None:
    """jaxssl pretrain RECIPE --workdir DIR [--optim.lr 1e-3 ...]: pretrain an encoder without labels."""
    _train("pretrain", Training, words)


def finetune(words: Sequence[str]) -> None:
    """jaxssl finetune RECIPE --workdir DIR [--init.run RUN | --init.weights FILE]: train with labels, and evaluate."""
    _train("finetune", FineTuning, words)


def _asked(verb: str, form: type[OfRecipe], own: str, words: Sequence[str]) -> Any:
    """The recipe that the first word names, with the options that follow, of which the verb has some of its own; none
    where only help was wanted."""
    from jaxssl.recipe import load_recipe, names

    if not words or words[0].startswith("-"):
        print(USAGE.format(verb=verb, own=own, names=", ".join(names()), example=EXAMPLES[verb]), end="")
        if not words or words[0] not in ("-h", "--help"):
            raise UserError(f"jaxssl {verb} needs a recipe as its first word, for example: jaxssl {verb} mim:small.")
        return None
    default = load_recipe(words[0])
    kind: Any = form[type(default)[type(default.model), type(default.method)]]  # type: ignore[misc]
    # A choice of options (a normalisation or none) is set by its flags alone, as the printed command has it.
    flags: Any = tyro.conf.AvoidSubcommands[kind]
    return tyro.cli(flags, default=form(default), args=words[1:], prog=f"jaxssl {verb} {words[0]}", compact_help=True)


def _train(verb: str, form: type[Training], words: Sequence[str]) -> None:
    asked = _asked(verb, form, "--workdir DIR", words)
    if asked is None:
        return
    if asked.print_config:
        import json

        from jaxssl import config

        config.check(asked.recipe)
        print(json.dumps(config.to_dict(asked.recipe), indent=1))
        return
    from jaxssl import run
    from jaxssl.run.common import use_device
    from jaxssl.train.processes import join

    join(asked.coordinator, asked.processes, asked.process)
    use_device(asked.device)
    further = {"on": asked.on} if isinstance(asked, FineTuning) else {}
    getattr(run, verb)(asked.recipe, asked.workdir, **further)


def bench_step(words: Sequence[str]) -> None:
    """jaxssl bench step RECIPE [--out DIR]: how fast it trains, and where the time of a step goes."""
    asked = _asked("bench step", Stepping, "[--against torch] [--out DIR]", words)
    if asked is None:
        return
    from jaxssl import run
    from jaxssl.run.common import use_device

    use_device(asked.device)
    chosen = {name: getattr(asked, name) for name in ("rounds", "seconds", "fed", "profile", "against")}
    run.bench_step(asked.recipe, asked.out, **chosen)


def plan(words: Sequence[str]) -> None:
    """jaxssl plan RECIPE --devices 256 --chip v5p [--out DIR]: what it will need of them, before anybody books them."""
    asked = _asked("plan", Planning, "--devices N --chip NAME [--images N] [--out DIR]", words)
    if asked is None:
        return
    from jaxssl import run

    run.plan(asked.recipe, asked.devices, asked.chip, asked.images, asked.out, compiled=asked.compiled)
