"""One process of a run that ends after a saved step and notes the samples it was given: `part.py STEP NOTES WORDS...`.

Every array of the state is divided, however small, so that what a device stores is only a part.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np

from jaxssl.cli import main
from jaxssl.train import loop, mesh
from jaxssl.train.checkpoint import Checkpoints

stop, notes, words = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
save, put_batch = Checkpoints.save, loop.put_batch
mesh.SMALL = 1


def save_and_stop(self, step, state, meta):
    save(self, step, state, meta)
    if step == stop:
        raise KeyboardInterrupt


def put_and_note(mesh, batch, axis):
    given = [[int(p), int(i)] for p, i in zip(np.ravel(batch["place"]), np.ravel(batch["id"]), strict=True)]
    with notes.with_suffix(f".{jax.process_index()}").open("a") as file:
        file.write(json.dumps(given) + "\n")
    return put_batch(mesh, batch, axis)


Checkpoints.save, loop.put_batch = save_and_stop, put_and_note
sys.exit(main(words))
