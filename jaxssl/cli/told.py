"""How a verb explains itself: the words of its function, and an example to type."""

import difflib
import inspect
import shutil
import textwrap
from collections.abc import Callable, Collection, Sequence
from typing import Any

import tyro

from jaxssl.errors import UserError

WIDEST = 100
"""Characters of a line that is still easily read."""

EXAMPLES = {
    "pretrain": "jaxssl pretrain mim:small --data.store stores/mine --workdir runs/mim",
    "finetune": "jaxssl finetune segment:small --init.run runs/mim --workdir runs/few",
    "evaluate": "jaxssl evaluate runs/few",
    "probe": "jaxssl probe runs/mim --target vendor",
    "embed": "jaxssl embed runs/mim SCANS --out embeddings.parquet",
    "segment": "jaxssl segment runs/few --store stores/mine --out stores/segmented",
    "predict": "jaxssl predict runs/few SCANS --out masks",
    "saliency": "jaxssl saliency runs/group --map gradcam",
    "export": "jaxssl export runs/mim --format onnx",
    "report": "jaxssl report runs/mim runs/few --out report.html",
    "replay": "jaxssl replay runs/mim/not-finite-210",
    "ablate": "jaxssl ablate experiments/cine_segmentation.py --workdir sweeps/cine",
    "plan": "jaxssl plan dino:vit --devices 256 --chip v5p --train.batch 4096",
    "doctor": "jaxssl doctor",
    "data phantom": "jaxssl data phantom --out stores/phantom --subjects 40 --phases 8",
    "data ultrasound": "jaxssl data ultrasound --out stores/fetal --subjects 32",
    "data knee": "jaxssl data knee --out stores/knee --subjects 32",
    "data ingest": "jaxssl data ingest folder SCANS --out stores/mine",
    "data info": "jaxssl data info stores/mine --sheet mine.png",
    "data check": "jaxssl data check stores/mine",
    "data split": "jaxssl data split stores/mine --out splits/mine --by group",
    "data lvef": "jaxssl data lvef stores/mine --out stores/mine-lvef",
    "bench step": "jaxssl bench step simclr:small --out bench",
    "bench loss": "jaxssl bench loss --rows 8192",
    "bench augment": "jaxssl bench augment simclr:small --batch 64",
    "bench loader": "jaxssl bench loader mim:small --store stores/mine",
    "bench checkpoint": "jaxssl bench checkpoint mim:small",
    "bench scale": "jaxssl bench scale simclr:small --batch 256",
}
"""Of every verb, one."""


def cli(verb: str, function: Callable[..., Any], words: Sequence[str], about: Callable[..., Any] | None = None) -> Any:
    """Call a function with its arguments read from words; help has the docstring of `about`, or else its own."""
    return tyro.cli(function, args=words, prog=f"jaxssl {verb}", description=explained(verb, about or function))


def known(word: str, verbs: Collection[str], room: str = "") -> str:
    """The word, if it is one of the verbs."""
    if word not in verbs:
        nearest = difflib.get_close_matches(word, verbs, n=1, cutoff=0.0)[0]
        asked = f"{room} {word}".strip()
        raise UserError(f"There is no verb {asked!r}; the nearest is {nearest!r}, of {', '.join(verbs)}.")
    return word


def explained(verb: str, function: Callable[..., Any]) -> str:
    """What a docstring says before it comes to the arguments, without examples in Python; and one to type."""
    prose = (inspect.getdoc(function) or "").partition("\nArgs:")[0].strip().split("\n\n")
    said = [paragraph for paragraph in prose if not paragraph.startswith(">>>")]
    # tyro wraps options alone; of a description it keeps blank lines, and breaks before lines that are indented.
    width = min(shutil.get_terminal_size().columns, WIDEST)
    wrapped = [textwrap.fill(each, width, subsequent_indent="  ") for each in said]
    return "\n\n".join([*wrapped, f"Example: {EXAMPLES[verb]}"])
