"""The verbs of `data`: make a synthetic set, describe a store."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from jaxssl.data.phantom.cine import CineOptions, cine_phantom
from jaxssl.data.phantom.knee import KNEE_CLASSES, KneeOptions, knee_phantom
from jaxssl.data.phantom.ultrasound import UltrasoundOptions, ultrasound_phantom
from jaxssl.data.record import CINE_CLASSES
from jaxssl.data.sheet import sheet as contact_sheet
from jaxssl.data.store import open_store, write
from jaxssl.errors import UserError
from jaxssl.files import beside
from jaxssl.run.terminal import bar_on, console_of

MANY = 24
"""Values of one thing beyond which a description names only the first and the last."""


@dataclass(frozen=True)
class _Kind:
    """What is written of one kind of phantom."""

    name: str
    description: str
    records: Callable[..., Any]
    classes: Callable[..., Sequence[str]]


_KINDS = {
    CineOptions: _Kind("cine_phantom", "Synthetic beating hearts; not patients.", cine_phantom, lambda _: CINE_CLASSES),
    KneeOptions: _Kind("knee_phantom", "Synthetic knees; not patients.", knee_phantom, lambda _: KNEE_CLASSES),
    UltrasoundOptions: _Kind(
        "ultrasound_phantom",
        "Synthetic fetal ultrasound; not patients.",
        ultrasound_phantom,
        lambda options: options.classes,
    ),
}


def data_phantom(out: str | Path, options: CineOptions | KneeOptions | UltrasoundOptions) -> Path:
    """Make the synthetic data set that the options describe, with exact labels: hearts, knees or fetal ultrasound.

    >>> jaxssl.data_phantom("stores/hearts", jaxssl.CineOptions(subjects=10, phases=2, slices=4, seed=3))
    PosixPath('stores/hearts')
    """
    console, kind = console_of(None), _KINDS[type(options)]
    with bar_on(console) as bar:
        task = bar.add_task("making phantoms", total=options.subjects)
        store = write(
            kind.records(options, lambda done, total: bar.update(task, completed=done, total=total)),
            out,
            name=kind.name,
            description=kind.description,
            licence="Apache-2.0",
            synthetic=True,
            classes=kind.classes(options),
        )
    console.print(f"{len(store)} synthetic images of {store.info.subjects} subjects in {out}.")
    return store.path


def data_info(store: Annotated[Path, tyro.conf.Positional], sheet: Path | None = None) -> None:
    """Describe a store: subjects, views, phases, labels, sizes, spacing, licence.

    >>> jaxssl.data_info("stores/hearts", sheet="hearts.png")  # doctest: +ELLIPSIS
    stores/hearts...Synthetic beating hearts; not patients...

    Args:
        store: Folder of the store.
        sheet: Draw a contact sheet to this PNG file: some images of each view and label, masks outlined.
    """
    opened = open_store(store)
    table = Table("what", "value", title=str(store), title_justify="left")
    for name, value in asdict(opened.info).items():
        if value not in (None, "", [], {}):
            table.add_row(name, _readable(value))
    Console().print(table)
    if sheet is not None:
        if Path(sheet).suffix.lower() != ".png":
            raise UserError(f"--sheet {sheet} is no PNG file: give it a name that ends in .png.")
        with beside(Path(sheet)) as unfinished:
            contact_sheet(opened).save(unfinished)
        console_of(None).print(f"The sheet is {sheet}.")


def _readable(value: object) -> str:
    if isinstance(value, dict) and len(value) > MANY:
        first, *_, last = value
        return f"{len(value)} different ones from {first} to {last}"
    if isinstance(value, dict):
        return ", ".join(f"{key or 'none'}: {_readable(inner)}" for key, inner in value.items())
    if isinstance(value, list) and len(value) > MANY:
        return f"{len(value)} of them from {value[0]} to {value[-1]}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
