"""`evaluate`: a finished fine-tuning asked again, or for the first time where only validation subjects were."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxssl import config
from jaxssl.data.source import Part
from jaxssl.errors import UserError
from jaxssl.run.common import load_run, opened_again, refuse_unfinished
from jaxssl.run.judging import FILES, JUDGES, judge, refuse_without_evaluation
from jaxssl.run.terminal import console_of, warner
from jaxssl.workdir import existing

Folder = Annotated[Path, tyro.conf.Positional]


def evaluate(run: Folder, on: Part = "test") -> dict[str, Any]:
    """Evaluate a finished fine-tuning on its test or its validation subjects.

    >>> result = jaxssl.run.evaluate("runs/segment")
    >>> result["classes"], result["training_subjects"], 0 <= result["mean_dice"] <= 1
    (['RV', 'MYO', 'LV'], 2, True)

    Args:
        run: Folder of a finished run of jaxssl finetune.
        on: Whom to ask: validation subjects while there is something to choose, test subjects once.
    """
    console, workdir = console_of(None), existing(run)
    refuse_unfinished(workdir)
    warn = warner(console)
    loaded = load_run(workdir, warn)
    if not loaded.method.task:
        raise UserError(f"{run} has learnt without labels; name a run of jaxssl finetune, or use jaxssl probe.")
    path = workdir.path / FILES[on]
    if path.exists():
        known = config.read_json(path)
        console.print(f"{JUDGES[loaded.method.task].in_words(known)} (as {path} has it; the network is the same.)")
        return known
    source = opened_again(loaded, workdir, console)
    refuse_without_evaluation(loaded.recipe, loaded.method, source, on)
    with workdir.alone(warn, wait=True):
        return judge(loaded.recipe, source, loaded.method, loaded.parts, on, workdir, console)
