"""A run on a disk that fills up and is emptied again: `filled.py DISK COPY WORDS...`.

Before step 6 there is room left for lines and not for a checkpoint, before step 11 for nothing, before step 14 for all.
When the run has ended its folder, DISK/run, is copied to COPY.
"""

import shutil
import sys
from pathlib import Path

from jaxssl.cli import main
from jaxssl.run import begun

disk, copy, words = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
filler, steps = disk / "filler", begun.run_steps


def fill(room: int) -> None:
    with filler.open("ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(file.tell() - room)


def watch(tick):
    if tick.step == 6:
        fill(room=2**15)
    elif tick.step == 11:
        fill(room=0)
    elif tick.step == 14:
        filler.unlink()


begun.run_steps = lambda *given: steps(*given[:-1], [watch, *given[-1]])
code = main([*words, "--workdir", str(disk / "run")])
shutil.copytree(disk / "run", copy)
sys.exit(code)
