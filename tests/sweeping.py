"""A process at a sweep whose verbs write down what they were asked, and no more: `sweeping.py JOURNAL HOW WORDS...`.

HOW is `killed`, which ends the process in the middle of its third stage, or a number of processes that wait for each
other at the start, and then take a while for each stage.
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from jaxssl import config
from jaxssl.cli import main
from jaxssl.recipe import load_recipe
from jaxssl.run import stages

STUDY = '''
"""Does pretending help?"""

from jaxssl.sweep import Point, Scale, Stage, of_scale


def sweep(scale: Scale = "smoke", lr: float = 1e-3):
    steps = of_scale(scale, {"smoke": 2, "small": 20})
    hearts = Stage("phantom", "cine", {"subjects": 4})
    mim = Stage("pretrain", "mim:tiny", {"data.store": hearts, "train.steps": steps, "optim.lr": lr})
    for start in ("scratch", "mim"):
        for seed in range(3):
            own = {"init.run": mim} if start == "mim" else {}
            options = {"data.store": hearts, "train.seed": seed, "on": "validation", **own}
            yield Point(f"{start}/{seed}", (Stage("finetune", "segment:tiny", options, label=f"{start} {seed}"),))
'''
"""A study whose verbs may pretend."""
EVERYTHING = {"phantom": 1, "pretrain": 1, "finetune": 6}
"""What all of it takes."""
VERBS = ("phantom", "pretrain", "finetune")


def pretended(verb: str, journal: Path, how: str = "", broken: str = "nothing") -> stages.Doing:
    """What stands in for a verb: it makes what the real one is known by, but for a folder that is called `broken`."""

    def call(of, folder: Path, options) -> None:
        said = [verb, folder.name, {name: str(value) for name, value in options.items()}, os.getpid()]
        with journal.open("a") as file:
            file.write(json.dumps(said) + "\n")
        if how == "killed" and len(asked(journal)) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.2 if how.isdecimal() else 0)
        if broken in folder.name:
            raise ValueError(f"{broken}\nwould not")
        folder.mkdir(parents=True)
        if verb == "phantom":
            (folder / "store.json").touch()
            return
        overrides = {name: value for name, value in options.items() if "." in name}
        config.save(load_recipe(of, overrides), folder / "recipe.json")
        config.write_json({"status": "finished", "verb": verb}, folder / "run.json")

    return stages.DOINGS[verb]._replace(call=call)


def pretend(monkeypatch, journal: Path, broken: str = "nothing") -> None:
    """Let all verbs of this process do no more than that."""
    for verb in VERBS:
        monkeypatch.setitem(stages.DOINGS, verb, pretended(verb, journal, broken=broken))


def recipe_of(root: Path):
    """Of the only pretraining of a sweep."""
    (run,) = (root / "runs").glob("pretrain-*")
    return config.load(run / "recipe.json")


def asked(journal: Path) -> list[list]:
    """Verb, name of the folder, options and process of each stage that was begun, in their order."""
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def verbs(journal: Path) -> Counter:
    return Counter(verb for verb, *_ in asked(journal))


def wait_for_company(journal: Path, count: int) -> None:
    journal.with_name(f"here-{os.getpid()}").touch()
    while len(list(journal.parent.glob("here-*"))) < count:
        time.sleep(0.01)


if __name__ == "__main__":
    journal, how = Path(sys.argv[1]), sys.argv[2]
    for each in VERBS:
        stages.DOINGS[each] = pretended(each, journal, how)
    if how.isdecimal():
        wait_for_company(journal, int(how))
    sys.exit(main(sys.argv[3:]))
