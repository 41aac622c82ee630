"""A run on a disk that fills up and is emptied again: `filled.py DISK COPY WORDS...`.

Before step 30 there is room left for lines and not for a checkpoint, before step 49 for nothing, before step 75 for
all. When the run has ended its folder, DISK/run, is copied to COPY.
"""

import functools
import shutil
import sys
from pathlib import Path

from jaxssl.cli import main
from jaxssl.run import assembly, begun
from jaxssl.train.checkpoint import Checkpoints

disk, copy, words = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
filler, steps, opened = disk / "filler", assembly.run_steps, []


def fill(room: int) -> None:
    with filler.open("ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(file.tell() - room)


CHANGES = {30: functools.partial(fill, 2**15), 49: functools.partial(fill, 0), 75: filler.unlink}


def watch(tick):
    if change := CHANGES.get(tick.step):
        opened[0].latest_step()  # waits for the save that is under way
        change()


class Opened(Checkpoints):
    def __init__(self, *given):
        super().__init__(*given)
        opened.append(self)


begun.Checkpoints = Opened
assembly.run_steps = lambda *given: steps(*given[:-1], [watch, *given[-1]])
code = main([*words, "--workdir", str(disk / "run")])
shutil.copytree(disk / "run", copy)
sys.exit(code)
