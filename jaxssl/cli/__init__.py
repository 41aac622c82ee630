"""The command line: hands words and flags to `jaxssl.run`, and turns the user's errors into one sentence."""

import difflib
import functools
import sys
import traceback
from collections.abc import Callable, Sequence

import tyro

from jaxssl.cli.recipes import bench_step, finetune, plan, pretrain
from jaxssl.cli.stores import data
from jaxssl.cli.studies import ablate
from jaxssl.errors import Preempted, UserError
from jaxssl.version import __version__

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
embed RUN [SOURCE], evaluate RUN, predict RUN SOURCE, saliency RUN, segment RUN, export RUN,
replay DUMP, bench step|loss|augment|loader|checkpoint|scale, plan RECIPE, doctor.
Every verb explains itself with --help.
"""

BENCHES = """usage: jaxssl bench {step,augment,loader,checkpoint,scale} RECIPE [options], or jaxssl bench loss [options]

  step        how fast a recipe trains on this machine, and where the time and the memory of a step go
  loss        how fast the contrastive loss is, and what memory it takes
  augment     how fast a recipe's views are made
  loader      how many images a second are loaded, and how long training waits for them
  checkpoint  for how long a save stops training, and what logging and the optimiser take besides
  scale       what one device does and holds when training is divided over more of them

jaxssl bench step RECIPE --help, or jaxssl bench loader --help, lists the options. With
--against torch step, loss, augment and loader run by turns with PyTorch, all but loader once both have given the same
results;
--python PATH is the interpreter that has it, --threads 1 gives either side one core.
"""
OF_RUNS = ("evaluate", "probe", "embed", "segment", "predict", "saliency", "export", "report", "replay")


def of_run(verb: str, words: Sequence[str]) -> None:
    """A verb whose flags are the arguments of its function."""
    from jaxssl import run

    tyro.cli(getattr(run, verb), args=words, prog=f"jaxssl {verb}")


def bench(words: Sequence[str]) -> None:
    """jaxssl bench step|loss|augment|loader|checkpoint|scale [RECIPE] [--out DIR]: times and memory."""
    if words[:1] == ["step"]:
        return bench_step(words[1:])
    if not words or words[0] in ("-h", "--help"):
        print(BENCHES, end="")
        return None
    from jaxssl import run

    names = ("augment", "checkpoint", "loader", "loss", "scale")
    verbs = {name: getattr(run, f"bench_{name}") for name in names}
    tyro.extras.subcommand_cli_from_dict(verbs, args=words, prog="jaxssl bench")


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
    **{verb.__name__: verb for verb in (pretrain, finetune)},
    **{verb: functools.partial(of_run, verb) for verb in OF_RUNS},
    **{verb.__name__: verb for verb in (ablate, data, bench, plan, doctor)},
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code is 0, 1 where points of a study failed, 2 for what the user can mend, 3 for files
    left out, 75 when told to stop by SIGTERM, 130 when stopped."""
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
    except Preempted as told:
        return _refused(str(told), debug, told.exit_code)
    except KeyboardInterrupt:
        print("\nStopped. The same command continues from what is on the disk.", file=sys.stderr)
        return 130
