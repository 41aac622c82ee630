"""A run that the operating system kills while its checkpoint is being written: `killed.py STEP WORDS...`."""

import os
import signal
import sys

from jaxssl.cli import main
from jaxssl.train.checkpoint import Checkpoints

step, words = int(sys.argv[1]), sys.argv[2:]
save = Checkpoints.save


def save_and_die(self, now, state, meta):
    save(self, now, state, meta)
    if now == step:  # the save goes on in threads; it will not come to its end
        os.kill(os.getpid(), signal.SIGKILL)


Checkpoints.save = save_and_die
main(words)
