"""`data lvef`: a store written again with a label of what the left ventricle ejects."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Annotated

import tyro

from jaxssl.data.record import Record
from jaxssl.data.store import Store, open_store, write_again
from jaxssl.errors import UserError
from jaxssl.evaluate.volume import ejected
from jaxssl.run.terminal import bar_on, console_of

LABEL, REDUCED, PRESERVED = "lvef", "reduced", "preserved"


def data_lvef(store: Annotated[Path, tyro.conf.Positional], out: Path, below: float = 50.0) -> Path:
    """Write a store again with the label lvef, reduced or preserved, for classifiers to learn.

    The ejection fraction is that of the store's masks of the left ventricle in ED and ES, in stacks of slices of which
    it is known how far they lie apart, as evaluation measures it; studies without these masks get no such label. What
    `jaxssl data split` has made of the old store splits the new one as well.

    >>> jaxssl.data_lvef("stores/hearts", "stores/hearts-lvef", below=55)
    PosixPath('stores/hearts-lvef')

    Args:
        store: Folder of a store with masks that people have drawn, or of a phantom.
        out: Folder of the new store.
        below: A fraction below so many percent is reduced.
    """
    console, old = console_of(None), open_store(store)
    _refuse(old)
    with bar_on(console) as bar:
        task = bar.add_task("measuring ventricles", total=len(old))

        def records() -> Iterator[Record]:
            for row, record in enumerate(_labelled(old, below)):
                yield record
                bar.update(task, completed=row + 1)

        note = f"The label {LABEL} is {REDUCED} below {below:g}%, by the masks."
        new = write_again(old, records(), out, suffix=LABEL, note=note)
    counts = new.info.labels.get(LABEL, {})
    said = ", ".join(f"{value} {counts.get(value, 0)}" for value in (REDUCED, PRESERVED))
    console.print(f"{LABEL} of {sum(counts.values())} of {new.info.subjects} subjects in {out}: {said}.")
    return new.path


def _refuse(old: Store) -> None:
    """Refuse masks by which a label would be no truth, and a label that is there."""
    if old.info.masks_by:
        raise UserError(
            f"The masks of {old.path} were made by a network ({old.info.masks_by}), and a label by them is no truth; "
            "name the store that it was made from."
        )
    if LABEL in old.info.labels:
        raise UserError(f"{old.path} has a label {LABEL} already: use that, or name a store without.")
    if "LV" not in old.info.classes:
        known = ", ".join(old.info.classes) or "none"
        raise UserError(f"{old.path} has no masks of the class LV ({known}); name a store that has some.")


def _labelled(old: Store, below: float) -> Iterator[Record]:
    """All records in order; the frames of a study are needed together, and those of a subject lie so."""
    for _, frames in groupby(old.records(), key=lambda record: record.subject):
        of_subject = list(frames)
        studies: dict[str, list[Record]] = defaultdict(list)
        for record in of_subject:
            studies[record.study].append(record)
        fractions = {name: ejected(study, old.info.classes[1:]) for name, study in studies.items()}
        for record in of_subject:
            fraction = fractions[record.study]
            known = {} if fraction is None else {LABEL: REDUCED if fraction < below else PRESERVED}
            yield replace(record, labels={**record.labels, **known})
