"""The command line: hands words and flags to `jaxssl.run`, and turns the user's errors into one sentence."""

import difflib
import functools
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from jaxssl.errors import UserError
from jaxssl.version import __version__

R = TypeVar("R")
GREETING = """jaxssl pretrains image encoders without labels on cardiac MR and ultrasound, and says whether it helped.

  jaxssl data phantom --out stores/phantom                          make a synthetic cine data set
  jaxssl data ingest folder SCANS --out stores/mine                 or a set of your own DICOM, NIfTI, PNG and clips
  jaxssl pretrain mim:small --workdir runs/mim                      pretrain on it, without labels
  jaxssl finetune segment:small --init.run runs/mim --workdir runs/from-mim
                                                                    segment from few labels, and evaluate
  jaxssl finetune classify:small --init.run runs/mim --workdir runs/group
                                                                    classify patients, and evaluate
  jaxssl probe runs/mim                                             kNN and linear probe of the frozen encoder
  jaxssl report runs/*                                              one page that compares runs
  jaxssl ablate experiments/cine_segmentation.py --workdir sweeps/cine
                                                                    a whole study, point by point

Also: data ultrasound, data knee, data info STORE, data check STORE, data split STORE, data lvef STORE,
embed RUN [SOURCE], evaluate RUN, predict RUN SOURCE, saliency RUN,
segment RUN, export RUN, bench step RECIPE, bench loader, bench scale, doctor.
Every verb explains itself with --help.
"""


@dataclass(frozen=True)
class OfRecipe(Generic[R]):
    """What is done with a recipe, whose options are flags of their own."""

    recipe: Annotated[R, tyro.conf.arg(name="")]
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Hardware to run on; auto takes the fastest there is."""


@dataclass(frozen=True)
class Training(OfRecipe[R]):
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
class Stepping(OfRecipe[R]):
    """How fast a recipe trains on this machine, and where the time of a step goes."""

    out: Path = Path("step")
    """Folder for step.jsonl, step.png and the trace."""
    rounds: int = 7
    """Turns of the step and of what it begins with."""
    seconds: float = 0.5
    """How long a turn lasts at least."""
    profile: bool = False
    """Write a trace of three steps that xprof opens."""


def pretrain(words: Sequence[str]) -> None:
    """jaxssl pretrain RECIPE --workdir DIR [--optim.lr 1e-3 ...]: pretrain an encoder without labels."""
    _train("pretrain", Training, words)


def finetune(words: Sequence[str]) -> None:
    """jaxssl finetune RECIPE --workdir DIR [--init.run RUN | --init.weights FILE]: train with labels, and evaluate."""
    _train("finetune", FineTuning, words)


def _asked(verb: str, form: type[OfRecipe], place: str, words: Sequence[str]) -> Any:
    """The recipe that the first word names, with the options that follow; none where only help was wanted."""
    from jaxssl.recipe import load_recipe, names

    if not words or words[0].startswith("-"):
        print(f"usage: jaxssl {verb} RECIPE {place} DIR [options]\n")
        print(f"RECIPE is NAME, NAME:variant or path/to/file.py:variant. Names: {', '.join(names())}.")
        print("RECIPE@NAME:variant is that recipe with the network of another, as in simclr:small@mae:small.")
        print(f"jaxssl {verb} RECIPE --help lists that recipe's options.")
        if not words or words[0] not in ("-h", "--help"):
            raise UserError(f"jaxssl {verb} needs a recipe as its first word, for example: jaxssl {verb} mim:small.")
        return None
    default = load_recipe(words[0])
    kind: Any = form[type(default)[type(default.model), type(default.method)]]  # type: ignore[misc]
    # A choice of options (a normalisation or none) is set by its flags alone, as the printed command has it.
    flags: Any = tyro.conf.AvoidSubcommands[kind]
    return tyro.cli(flags, default=form(default), args=words[1:], prog=f"jaxssl {verb} {words[0]}")


def _train(verb: str, form: type[Training], words: Sequence[str]) -> None:
    asked = _asked(verb, form, "--workdir", words)
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


def evaluate(words: Sequence[str]) -> None:
    """jaxssl evaluate RUN [--on test|validation]: a finished fine-tuning asked once more, or for the first time."""
    from jaxssl import run

    tyro.cli(run.evaluate, args=words, prog="jaxssl evaluate")


def probe(words: Sequence[str]) -> None:
    """jaxssl probe RUN [--target group]: kNN and linear probe of a run's frozen encoder."""
    from jaxssl import run

    tyro.cli(run.probe, args=words, prog="jaxssl probe")


def embed(words: Sequence[str]) -> None:
    """jaxssl embed RUN [SOURCE] [--out FILE.npz|FILE.parquet]: embeddings of a store or a folder by a run's encoder."""
    from jaxssl import run

    tyro.cli(run.embed, args=words, prog="jaxssl embed")


def export(words: Sequence[str]) -> None:
    """jaxssl export RUN [--format safetensors|timm|onnx]: a run's networks as a file for elsewhere, with a card."""
    from jaxssl import run

    tyro.cli(run.export, args=words, prog="jaxssl export")


def report(words: Sequence[str]) -> None:
    """jaxssl report RUN [RUN ...] [--out FILE.html]: one self-contained page about one or many runs."""
    from jaxssl import run

    tyro.cli(run.report, args=words, prog="jaxssl report")


def segment(words: Sequence[str]) -> None:
    """jaxssl segment RUN --store STORE --out NEW: a store written again with the masks that a run predicts."""
    from jaxssl import run

    tyro.cli(run.segment, args=words, prog="jaxssl segment")


def predict(words: Sequence[str]) -> None:
    """jaxssl predict RUN SOURCE --out DIR: masks, sizes and pictures of files that a run segments."""
    from jaxssl import run

    tyro.cli(run.predict, args=words, prog="jaxssl predict")


def saliency(words: Sequence[str]) -> None:
    """jaxssl saliency RUN [--map gradcam|rollout|gradients]: how much of what a classifier looks at is the heart."""
    from jaxssl import run

    tyro.cli(run.saliency, args=words, prog="jaxssl saliency")


def ablate(words: Sequence[str]) -> None:
    """jaxssl ablate STUDY --workdir DIR [--scale smoke|small|paper]: what is missing of the points of a study."""
    from jaxssl.sweep import load_study

    if not words or words[0].startswith("-"):
        print("usage: jaxssl ablate STUDY --workdir DIR [--scale smoke|small|paper] [options]\n")
        print("STUDY is a file of experiments/. jaxssl ablate STUDY --help lists its own options as well.")
        if not words or words[0] not in ("-h", "--help"):
            raise UserError("jaxssl ablate needs a study as its first word, as in experiments/cine_segmentation.py.")
        return
    study = load_study(words[0])

    @functools.wraps(study.sweep)
    def given(**options: Any) -> dict[str, Any]:
        return options

    def asked(
        given: Annotated[dict[str, Any], tyro.conf.arg(name="", constructor=given)],
        workdir: Path,
        points: tuple[str, ...] = (),
        only: str | None = None,
        list: bool = False,
        report: bool = False,
        submit: Literal["slurm", "local"] | None = None,
        jobs: int = 1,
        slurm: tuple[str, ...] = (),
    ) -> None:
        """Do what is missing of a study's points. The same command goes on after an interruption, tries again what has
        failed, and may be given by several processes at once, which share the work.

        Args:
            workdir: Folder of the sweep: stores, splits and runs, a note on each stage, and the page.
            points: Only those whose names fit one of these patterns, as in "mim/*".
            only: i/n takes every n-th point from i, for array jobs: of four the first is 0/4 and the last 3/4.
            list: Only list the points: their states, and what came out.
            report: Only write the page about what is finished, DIR/report.html; it also comes by itself at the end.
            submit: Hand the work to jobs of a cluster, or of this machine, and return.
            jobs: How many of them.
            slurm: What they ask for, as in time=240 gpus_per_node=1 partition=gpu.
        """
        from jaxssl import run

        run.ablate(study.path, workdir, points, only, list, report, submit, jobs, slurm, **given)

    tyro.cli(asked, args=words[1:], prog=f"jaxssl ablate {words[0]}")


def data(words: Sequence[str]) -> None:
    """jaxssl data ingest NAME SOURCE --out STORE | phantom|ultrasound|knee --out STORE | info|check|split|lvef."""
    from jaxssl import CineOptions, KneeOptions, UltrasoundOptions, run

    def phantom(out: Path, options: Annotated[CineOptions, tyro.conf.arg(name="")]) -> None:
        """Make a synthetic cine data set: beating hearts in short-axis stacks and long-axis views, with exact labels.

        Args:
            out: Folder of the new store.
            options: Size and seed of the set.
        """
        run.data_phantom(out, options)

    def ultrasound(out: Path, options: Annotated[UltrasoundOptions, tyro.conf.arg(name="")]) -> None:
        """Make a synthetic fetal ultrasound data set: the standard planes of an examination, with exact labels.

        Args:
            out: Folder of the new store.
            options: Size and seed of the set.
        """
        run.data_phantom(out, options)

    def knee(out: Path, options: Annotated[KneeOptions, tyro.conf.arg(name="")]) -> None:
        """Make a synthetic knee MR data set: a sagittal and a coronal stack, with exact labels.

        Args:
            out: Folder of the new store.
            options: Size and seed of the set.
        """
        run.data_phantom(out, options)

    verbs = {
        "phantom": phantom,
        "ultrasound": ultrasound,
        "knee": knee,
        "ingest": run.data_ingest,
        "info": run.data_info,
        "check": run.data_check,
        "split": run.data_split,
        "lvef": run.data_lvef,
    }
    tyro.extras.subcommand_cli_from_dict(verbs, args=words, prog="jaxssl data")


def bench(words: Sequence[str]) -> None:
    """jaxssl bench step|loader|scale RECIPE [--out DIR]: how fast it trains, images come, and work is spread."""
    if words[:1] == ["step"]:
        return _bench_step(words[1:])
    from jaxssl import run

    verbs = {"loader": run.bench_loader, "scale": run.bench_scale}
    tyro.extras.subcommand_cli_from_dict(verbs, args=words, prog="jaxssl bench")


def _bench_step(words: Sequence[str]) -> None:
    asked = _asked("bench step", Stepping, "--out", words)
    if asked is None:
        return
    from jaxssl import run
    from jaxssl.run.common import use_device

    use_device(asked.device)
    run.bench_step(asked.recipe, asked.out, rounds=asked.rounds, seconds=asked.seconds, profile=asked.profile)


def doctor(words: Sequence[str]) -> int:
    """jaxssl doctor: devices, versions, memory, and what to install."""
    from jaxssl.doctor import doctor as examine

    return tyro.cli(examine, args=words, prog="jaxssl doctor")


def _refused(sentence: str, debug: bool, code: int = UserError.exit_code) -> int:
    if debug:
        traceback.print_exc()
    print(f"jaxssl: {sentence}", file=sys.stderr)
    return code


VERBS: dict[str, Callable[[Sequence[str]], int | None]] = {
    verb.__name__: verb
    for verb in (
        *(pretrain, finetune, evaluate, probe, embed, segment, predict, saliency, export, report, ablate),
        *(data, bench, doctor),
    )
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code is 0, 1 where points of a study failed, 2 for what the user can mend, 3 for files
    left out, 130 when stopped."""
    words = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("-h", "--help"):
        print(GREETING, end="")
        return 0
    if words == ["--version"]:
        print(__version__)
        return 0
    try:
        if words[0] not in VERBS:
            nearest = difflib.get_close_matches(words[0], VERBS, n=1, cutoff=0.0)[0]
            raise UserError(f"There is no verb {words[0]!r}; the nearest is {nearest!r}, of {', '.join(VERBS)}.")
        return VERBS[words[0]](words[1:]) or 0
    except UserError as error:
        return _refused(str(error), debug, error.exit_code)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _refused(f"{what}; free some space, or choose a place that can be read and written.", debug)
    except KeyboardInterrupt:
        print("\nStopped. The same command continues from what is on the disk.", file=sys.stderr)
        return 130
