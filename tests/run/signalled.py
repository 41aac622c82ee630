"""One process of a run, to one of which something happens: `signalled.py FAULT INDEX STEP WORDS...`.

After that step the one of that index is sent a signal, or fails by itself (FAULT is `error`), or has a disk that is
full for as many steps again (`full`), or one on which no save can be begun (`unable`); the others soon give up waiting
for its part of a save.
"""

import os
import resource
import signal
import sys

import jax

from jaxssl.cli import main
from jaxssl.run import assembly
from jaxssl.train import checkpoint, stored

stored.LONGEST_SAVE = 15
fault, index, step, words = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
run_steps = assembly.run_steps
ROOM, MOST = resource.getrlimit(resource.RLIMIT_FSIZE)


def refuse(*_):
    raise OSError("the disk is gone")


def hook(tick):
    if jax.process_index() != index:
        return
    if fault == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (100 if step <= tick.step < 2 * step else ROOM, MOST))
    elif fault == "unable":
        checkpoint.begin_write = refuse
    elif tick.step == step and fault == "error":
        raise RuntimeError("This one fails.")
    elif tick.step == step:
        os.kill(os.getpid(), signal.Signals[fault])


assembly.run_steps = lambda *args: run_steps(*args[:-1], [hook, *args[-1]])
sys.exit(main(words))
