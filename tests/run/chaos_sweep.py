"""A study of two points, a pretraining and a fine-tuning that starts from it, for `chaos.py`."""

import hashlib
import json
import random
from pathlib import Path

import chaos_training as training
from chaos import at_call, soon

from jaxssl.cli import main
from jaxssl.data.store import SUMMARY
from jaxssl.run import stages

STUDY = '''
"""Do four steps of pretraining help?"""

from jaxssl.sweep import Point, Scale, Stage


def sweep(scale: Scale = "smoke"):
    hearts = Stage("phantom", "cine", {"subjects": 10, "phases": 2, "slices": 2, "seed": 3})
    short = {"data.store": hearts, "train.steps": 4}
    mim = Stage("pretrain", "mim:tiny", short)
    yield Point("mim", (mim,))
    yield Point("tuned", (Stage("finetune", "segment:tiny", {**short, "init.run": mim, "on": "validation"}),))
'''
STAGES, SAVES = 3, 4


def prepare(folder: Path) -> None:
    (folder / "study.py").write_text(STUDY)


def command(folder: Path, root: Path) -> int | None:
    return main(["ablate", str(folder / "study.py"), "--workdir", str(root)])


def between_stages(after: float, by: int) -> None:
    """As what became of a stage is noted: twice for each."""
    at_call(stages.Place, "_tell", 1 + int(after * 2 * STAGES), soon(0.0, by))


def while_saving(after: float, by: int) -> None:
    training.while_saving(after, by, SAVES)


PLACES = {"stages": between_stages, "save": while_saving}


def runs(root: Path) -> list[Path]:
    return sorted(path.parent for path in (root / "runs").glob("*/run.json"))


def is_finished(run: Path) -> bool:
    return json.loads((run / "run.json").read_text())["status"] == "finished"


def cut_power(root: Path, draw: random.Random) -> None:
    """What it takes of the run that was under way."""
    for run in runs(root):
        if not is_finished(run):
            training.cut_power(run, draw)


def finished(root: Path) -> dict[str, int]:
    """Of each stage that is done, when that was."""
    done = [run / "run.json" for run in runs(root) if is_finished(run)] + [*(root / "stores").glob(f"*/{SUMMARY}")]
    return {path.parent.name: path.stat().st_mtime_ns for path in done}


def outcome(root: Path) -> dict:
    """What came of each training, a digest of what they were judged by and of the store, and that there is a page."""
    told = [*(root / "runs").glob("*/validation.json"), *(root / "stores").glob(f"*/{SUMMARY}")]
    return {
        "runs": {run.name: training.outcome(run) for run in runs(root)},
        "told": {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(told)},
        "page": (root / "report.html").exists(),
    }
