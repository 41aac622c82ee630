"""The command line: hands words and flags to `jaxssl.run`, and turns the user's errors into one sentence."""

import errno
import functools
import sys
import traceback
from collections.abc import Callable, Sequence

from jaxssl.cli.recipes import bench_step, finetune, plan, pretrain
from jaxssl.cli.stores import data
from jaxssl.cli.studies import ablate
from jaxssl.cli.told import cli, known
from jaxssl.errors import Preempted, UserError
from jaxssl.memory import keep_freed, seldom_collected
from jaxssl.version import __version__

GREETING = """jaxssl pretrains image encoders without labels on cardiac MR and ultrasound,
and says whether it helped. Five things to do next:

1  Make synthetic hearts, or a set of your own DICOM, NIfTI, PNG and clips:
     jaxssl data phantom --out stores/phantom
     jaxssl data ingest folder SCANS --out stores/mine
2  Pretrain on them, without labels:
     jaxssl pretrain mim:small --data.store stores/phantom --workdir runs/mim
3  Segment from few labels with and without it, and evaluate:
     jaxssl finetune segment:small --data.store stores/phantom --workdir runs/a
     jaxssl finetune segment:small --data.store stores/phantom --workdir runs/b
       --init.run runs/mim
4  Ask the frozen encoder what it knows:
     jaxssl probe runs/mim
5  Compare the runs on one page:
     jaxssl report runs/*

Also: ablate STUDY, a whole study; data, what is done with data sets;
embed, evaluate, export, predict, saliency, segment, what is done with a run;
bench, plan, doctor, about machines; replay, when a run has stopped.
Every verb explains itself with --help.
"""

BENCHES = """usage: jaxssl bench {step,augment,loader,checkpoint,scale} RECIPE [options]
       jaxssl bench loss [options]

  step        how fast a recipe trains here, and where time and memory of a step go
  loss        how fast the contrastive loss is, and what memory it takes
  augment     how fast a recipe's views are made
  loader      how many images a second are loaded, and how long training waits
  checkpoint  for how long a save stops training, and what logging takes besides
  scale       what one device does and holds when more of them share the training

jaxssl bench step RECIPE --help, or jaxssl bench loader --help, lists the options.
With --against torch step, loss, augment and loader run by turns with PyTorch, all
but loader once both have given the same results, and --against torch.compile step
also with it compiled; --python PATH is the interpreter that has it, --threads 1
gives either side one core.

Example: jaxssl bench step simclr:small --out bench
"""
ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room there, and give the same command again"),
    **dict.fromkeys((errno.EACCES, errno.EROFS), "choose a place that can be read and written"),
}
"""What to do about an error of the system, where that is known."""
OTHERWISE = "the same command with --debug shows where"
OF_RUNS = ("evaluate", "probe", "embed", "segment", "predict", "saliency", "export", "report", "replay")


def of_run(verb: str, words: Sequence[str]) -> None:
    """A verb whose flags are the arguments of its function."""
    from jaxssl import run

    cli(verb, getattr(run, verb), words)


def bench(words: Sequence[str]) -> None:
    """jaxssl bench step|loss|augment|loader|checkpoint|scale [RECIPE] [--out DIR]: times and memory."""
    if words[:1] == ["step"]:
        return bench_step(words[1:])
    if not words or words[0] in ("-h", "--help"):
        print(BENCHES, end="")
        return None
    from jaxssl import run

    name = known(words[0], ("augment", "checkpoint", "loader", "loss", "scale", "step"), "bench")
    cli(f"bench {name}", getattr(run, f"bench_{name}"), words[1:])


def doctor(words: Sequence[str]) -> int:
    """jaxssl doctor: devices, versions, memory, and what to install."""
    from jaxssl.doctor import doctor as examine

    return cli("doctor", examine, words)


def _refused(sentence: str, debug: bool, code: int = UserError.exit_code) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"jaxssl: {sentence}\n")  # at once: what jax's threads say of a lost process may come between
    return code


VERBS: dict[str, Callable[[Sequence[str]], int | None]] = {
    **{verb.__name__: verb for verb in (pretrain, finetune)},
    **{verb: functools.partial(of_run, verb) for verb in OF_RUNS},
    **{verb.__name__: verb for verb in (ablate, data, bench, plan, doctor)},
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code says how it went.

    0: well. 1: points of a study failed, `data check` found errors, or something broke that nobody foresaw. 2: what the
    user can mend, `doctor`'s findings among it. 3: with --strict, files were left out or warned of. 75: the same
    command would go on, after SIGTERM or the loss of another process. 130: stopped by Ctrl-C.
    """
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
        verb = VERBS[known(words[0], VERBS)]
        keep_freed()
        with seldom_collected():
            return verb(words[1:]) or 0
    except UserError as error:
        return _refused(str(error), debug, error.exit_code)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _refused(f"{what}; {ADVICE.get(error.errno or 0, OTHERWISE)}.", debug)
    except Preempted as told:
        return _refused(str(told), debug, told.exit_code)
    except KeyboardInterrupt:
        print("\nStopped. The same command continues from what is on the disk.", file=sys.stderr)
        return 130
