"""One process of a run, to one of which something happens: `signalled.py FAULT INDEX STEP WORDS...`.

After that step the one of that index is sent a signal, or fails by itself (FAULT is `error`).
"""

import os
import signal
import sys

import jax

from jaxssl.cli import main
from jaxssl.run import begun

fault, index, step, words = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
run_steps = begun.run_steps


def hook(tick):
    if tick.step == step and jax.process_index() == index:
        if fault == "error":
            raise RuntimeError("This one fails.")
        os.kill(os.getpid(), signal.Signals[fault])


begun.run_steps = lambda *args: run_steps(*args[:-1], [hook, *args[-1]])
sys.exit(main(words))
