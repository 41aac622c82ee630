"""`segment`: a store written again with the masks that a segmentation run predicts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

from jaxssl.data.cache import open_cache
from jaxssl.data.plan import select
from jaxssl.data.record import Record
from jaxssl.data.store import open_store, write_again
from jaxssl.errors import UserError
from jaxssl.evaluate.segment import predicted_masks
from jaxssl.run.common import load_run, refuse_unfinished
from jaxssl.run.terminal import bar_on, console_of, warner
from jaxssl.workdir import existing

BATCH = 32


def segment(run: Annotated[Path, tyro.conf.Positional], store: Path, out: Path) -> Path:
    """Write a store again, its masks replaced by those that a segmentation run predicts for every frame.

    What is trained on the new store knows where the heart is from a network, and never from an expert's hand. What
    `jaxssl data split` has made of the old store splits the new one as well.

    >>> jaxssl.segment("runs/segment", "stores/hearts", "stores/segmented")
    PosixPath('stores/segmented')

    Args:
        run: Folder of a finished segmentation run.
        store: The store whose images are segmented; views that the run was not trained on get no masks.
        out: Folder of the new store.
    """
    console, workdir = console_of(None), existing(run)
    refuse_unfinished(workdir)
    loaded = load_run(workdir, warner(console))
    if loaded.method.task != "segmentation":
        raise UserError(f"{run} has not learnt to segment; name a run of jaxssl finetune segment.")
    assert loaded.method.predict is not None  # noqa: S101 - methods of a task have it
    predict, variables = jax.jit(loaded.method.predict), loaded.parts
    facts, old = workdir.facts(), open_store(store)
    with bar_on(console) as bar:
        task = bar.add_task("segmenting", total=len(old))
        cache = open_cache(old, loaded.recipe.data.layout)
        rows = select(cache, views=loaded.recipe.data.views)
        masks = predicted_masks(lambda batch: predict(variables, batch), cache, rows, BATCH)

        def records() -> Iterator[Record]:
            segmented = np.isin(np.arange(len(old)), rows)
            for row, record in enumerate(old.records()):
                yield replace(record, mask=next(masks) if segmented[row] else None)
                bar.update(task, completed=row + 1)

        new = write_again(
            old,
            records(),
            out,
            suffix="segmented",
            note=f"Masks predicted by {loaded.recipe.name}.",
            classes=facts["classes"],
            masks_by=f"{loaded.recipe.name} on {facts['data']['name']} {facts['data']['fingerprint']}",
            masks_learnt_from=workdir.seen(),
        )
    console.print(f"{new.info.masked} masks of {new.info.subjects} subjects in {out}.")
    return new.path
