"""One fine-tuning from several beginnings: from scratch, from weights of natural images, and from pretrained runs.

    python experiments/beginnings.py segment:resnet18 --out runs/beginnings --store stores/cine --subjects 10 \
        --weights resnet18.safetensors --runs runs/awcl

The ImageNet baseline of studies A, C and D needs a file, since nothing is downloaded: without one its row reads "not
run: no weights". Started again, it goes on where it was; `jaxssl report` makes a page of the folder's runs.
"""

import re
import sys
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

import jaxssl
from jaxssl.errors import UserError
from jaxssl.evaluate.statistics import ENOUGH
from jaxssl.reporting.arms import Arm, arms
from jaxssl.reporting.read import read_runs

SCRATCH, IMAGES = "scratch", "ImageNet weights"
NOT_RUN = "not run: no weights", ""
MEASURES = {"segmentation": "mean Dice", "classification": "AUROC"}


def main(
    recipe: Annotated[str, tyro.conf.Positional],
    out: Path,
    store: str | None = None,
    subjects: int | None = None,
    weights: Path | None = None,
    runs: tuple[Path, ...] = (),
) -> list[tuple[str, ...]]:
    """Fine-tune from each beginning, and print a table; its rows come back as text.

    Args:
        recipe: Of a fine-tuning, whose encoder fits the weights and the runs.
        out: Folder of the fine-tuned runs.
        store: Data set; the recipe's own unless given.
        subjects: Labelled subjects; the recipe's unless given.
        weights: A safetensors file of ImageNet weights in the names of torchvision or timm.
        runs: Pretrained runs.
    """
    given = {"data.store": store, "data.subjects": subjects}
    common = {name: value for name, value in given.items() if value is not None}
    beginnings = {SCRATCH: {}} | ({IMAGES: {"init.weights": str(weights)}} if weights else {})
    beginnings |= {str(run): {"init.run": str(run)} for run in runs}
    folders = {
        name: jaxssl.finetune(recipe, out / re.sub(r"\W+", "-", f"from {name}"), {**common, **init})
        for name, init in beginnings.items()
    }
    found = {arm.runs[0].folder: arm for arm in arms(read_runs(list(folders.values())))}
    names = [SCRATCH, IMAGES, *map(str, runs)]
    rows = [(name, *(_figures(found[folders[name]]) if name in folders else NOT_RUN)) for name in names]
    table = Table("begins with", MEASURES[found[folders[SCRATCH]].task.kind], "against scratch")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    return rows


def _figures(arm: Arm) -> tuple[str, str]:
    """Mean Dice or AUROC, and the difference to scratch with its 95% interval over test subjects."""
    few = "; few for an interval" if len(arm.subjects) < ENOUGH else ""
    against = ""
    if arm.paired:
        found, (low, high) = arm.paired.estimate
        against = f"{found:+.3f} ({low:+.3f} to {high:+.3f}{few})"
    return f"{arm.estimate.value:.3f} ({len(arm.subjects)} subjects)", against


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on from here.")
    except UserError as error:
        sys.exit(f"jaxssl: {error}")
