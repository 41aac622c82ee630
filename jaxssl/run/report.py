"""`report`: one page about many runs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxssl.evaluate.statistics import ENOUGH, Estimate
from jaxssl.reporting.arms import Arm, arms
from jaxssl.reporting.page import OF_NONE, OfStudy, write_page
from jaxssl.reporting.read import read_runs
from jaxssl.reporting.words import chance
from jaxssl.run.terminal import console_of


def report(runs: Annotated[tuple[Path, ...], tyro.conf.Positional], out: Path = Path("report.html")) -> Path:
    """Write one self-contained HTML page about one or many runs.

    >>> jaxssl.report(["runs/mim", "runs/segment"], "report.html").read_text().count("<h1>")
    1

    Args:
        runs: Folders of runs.
        out: The page.
    """
    console = console_of(None)
    runs = tuple(map(Path, runs))
    # `runs/*` may well catch a page or a folder of runs.
    others = [run for run in runs if run.exists() and not (run / "run.json").exists()]
    if others and len(others) < len(runs):
        console.print(f"Passed over, being no run folders: {', '.join(map(str, others))}.")
        runs = tuple(run for run in runs if run not in others)
    return report_on(runs, out)


def report_on(runs: Sequence[Path], out: Path, study: OfStudy = OF_NONE) -> Path:
    """The page, with what a study wants of it, and each arm in a sentence on the console."""
    console, read = console_of(None), read_runs(runs)
    found = arms(read)
    page = write_page(read, found, out, study)
    for arm in found:
        console.print(_in_words(arm))
    console.print(f"The page is {page}.")
    return page


def _in_words(arm: Arm) -> str:
    """One arm of a comparison in a sentence."""
    task, measure = arm.task, "Dice" if arm.task.kind == "segmentation" else f"{arm.task.target}, AUROC"
    subjects = len(set(arm.subjects))
    sentence = (
        f"{arm.label}: {measure} {arm.estimate.value:.3f}{_ends(arm.estimate)} on {subjects} {task.on} "
        f"subject{'' if subjects == 1 else 's'} of {task.data}, {task.training_subjects} labelled, {arm.origin}"
    )
    if arm.paired is None:
        return f"{sentence}."
    found = arm.paired.estimate
    few = f"; {subjects} subjects are few for an interval" if subjects < ENOUGH else ""
    return (
        f"{sentence}; against scratch {found.value:+.3f}{_ends(found, '+.3f')}, p {chance(arm.paired.adjusted)}{few}."
    )


def _ends(estimate: Estimate, form: str = ".3f") -> str:
    low, high = estimate.interval
    return f" (95% interval {low:{form}} to {high:{form}})" if math.isfinite(low) else " (no interval)"
