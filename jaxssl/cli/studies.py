"""The verb whose first word is a study, and whose flags are the keywords of its sweep as well."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxssl.cli.told import EXAMPLES, explained
from jaxssl.errors import UserError

STUDIES = f"""usage: jaxssl ablate STUDY --workdir DIR [options]

Does what is missing of the points of a study; the same command goes on after an
interruption. STUDY is a file of experiments/, or your own; its first lines say what
it asks, and how long that takes.

  --scale smoke|small|paper  minutes on two cores; hours on one GPU; the study's own
  --list                     only list the points, and what came out
  --points 'mim/*'           only some of them
  --report                   only write the page about what is finished
  --submit slurm --jobs 8    hand the work to jobs of a cluster

jaxssl ablate STUDY --help lists all options, the study's own as well.

Example: {EXAMPLES["ablate"]}
"""


def ablate(words: Sequence[str]) -> None:
    """jaxssl ablate STUDY --workdir DIR [--scale smoke|small|paper]: what is missing of the points of a study."""
    from jaxssl.sweep import load_study

    if not words or words[0].startswith("-"):
        print(STUDIES, end="")
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
            report: Only write the page about what is finished, DIR/report.html; it comes by itself when all points that
                are asked for are at their end.
            submit: Hand the work to jobs of a cluster, or of this machine, and return.
            jobs: How many of them.
            slurm: What they ask for, as in time=240 gpus_per_node=1 partition=gpu.
        """
        from jaxssl import run

        run.ablate(study.path, workdir, points, only, list, report, submit, jobs, slurm, **given)

    tyro.cli(asked, args=words[1:], prog=f"jaxssl ablate {words[0]}", description=explained("ablate", asked))
