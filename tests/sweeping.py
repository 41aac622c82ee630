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
