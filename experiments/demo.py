"""The main job at its smallest, on synthetic hearts: does pretraining without labels help when labels are few?

    make demo

Makes a phantom cine data set, pretrains a U-Net on it by masked images, fine-tunes segmentation from two labelled
subjects with and without it, and compares. Started again, it goes on where it was. 5 to 10 minutes on 2 CPU cores.
"""

import sys
import time
from pathlib import Path

from rich.console import Console

import jaxssl
from jaxssl.errors import UserError

STORE, RUNS = Path("stores/demo"), Path("runs/demo")
SUBJECTS, LABELLED = 40, 2


def main(store: Path = STORE, runs: Path = RUNS, variant: str = "small", subjects: int = SUBJECTS) -> Path:
    """Everything the demo does, step by step; returns the page."""
    console = Console(file=sys.stderr, soft_wrap=True, highlight=False)
    began = time.time()
    data = {"data.store": str(store)}
    few = {**data, "data.subjects": LABELLED}

    console.rule(f"1  {subjects} synthetic hearts", align="left")
    if store.exists():
        console.print(f"{store} is made already.")
    else:
        jaxssl.data_phantom(store, jaxssl.CineOptions(subjects=subjects))

    console.rule("2  Pretraining without labels: hidden patches are filled in", align="left")
    pretrained = jaxssl.pretrain(f"mim:{variant}", runs / "mim", data)

    console.rule(f"3  Segmentation from {LABELLED} labelled subjects, from scratch", align="left")
    scratch = jaxssl.finetune(f"segment:{variant}", runs / "scratch", few)

    console.rule(f"4  The same from the pretrained network, {LABELLED} labelled subjects", align="left")
    tuned = jaxssl.finetune(f"segment:{variant}", runs / "from-mim", {**few, "init.run": str(pretrained)})

    console.rule("5  What the frozen encoder knows", align="left")
    jaxssl.probe(pretrained)

    page = jaxssl.report((pretrained, scratch, tuned), runs / "report.html")
    console.print(f"Done in {time.time() - began:.0f} s. Next, another method on the same data:")
    console.print(
        f"  source .venv/bin/activate && jaxssl pretrain simclr:small --data.store {store} --workdir {runs / 'simclr'}"
    )
    return page


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nStopped. `make demo` goes on from here.")
    except UserError as error:
        print(f"jaxssl: {error}", file=sys.stderr)
        sys.exit(2)
