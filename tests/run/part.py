"""One process of a run that ends after a saved step: `part.py STEP NOTES WORDS...`.

It notes the samples it was given, and what every array held when that step was saved, or restored. Every array of the
state is divided, however small, so that what a device stores is only a part.
"""

import hashlib
import json
import sys
from pathlib import Path

import jax
import numpy as np

from jaxssl.cli import main
from jaxssl.train import loop, mesh
from jaxssl.train.checkpoint import Checkpoints
from jaxssl.train.fingerprint import named

stop, notes, words = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
save, restore, put_batch = Checkpoints.save, Checkpoints.restore, loop.put_batch
mesh.SMALL = 1


def note_state(event, state):
    """By a digest of each whole array: fingerprints are what restoring is checked by itself."""
    whole = named(mesh.gathered(state.step.sharding.mesh, state))
    if jax.process_index() == 0:
        digests = {name: hashlib.sha256(leaf.tobytes()).hexdigest() for name, leaf in whole.items()}
        notes.with_suffix(f".{event}").write_text(json.dumps(digests))


def save_and_stop(self, step, state, meta):
    save(self, step, state, meta)
    if step == stop:
        note_state("saved", state)
        raise KeyboardInterrupt


def restore_and_note(self, abstract):
    if restored := restore(self, abstract):
        note_state("restored", restored.state)
    return restored


def put_and_note(mesh, batch, axis):
    given = [[int(p), int(i)] for p, i in zip(np.ravel(batch["place"]), np.ravel(batch["id"]), strict=True)]
    with notes.with_suffix(f".{jax.process_index()}").open("a") as file:
        file.write(json.dumps(given) + "\n")
    return put_batch(mesh, batch, axis)


Checkpoints.save, Checkpoints.restore, loop.put_batch = save_and_stop, restore_and_note, put_and_note
sys.exit(main(words))
