"""`data phantom` and `data info`: make a synthetic set, describe a store."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from jaxssl.data.phantom.cine import CineOptions, cine_phantom
from jaxssl.data.store import open_store, write
from jaxssl.run.common import console_of


def data_phantom(out: Path, options: Annotated[CineOptions, tyro.conf.arg(name="")]) -> Path:
    """Make a synthetic cine data set: beating hearts in short-axis stacks and long-axis views, with exact labels.

    Args:
        out: Folder of the new store.
        options: Size and seed of the set.
    """
    console = console_of(None)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("making phantoms", total=options.subjects)
        store = write(
            cine_phantom(options, lambda done, total: bar.update(task, completed=done, total=total)),
            out,
            name="cine_phantom",
            description="Synthetic beating hearts; not patients.",
            licence="Apache-2.0",
            synthetic=True,
        )
    console.print(f"{len(store)} synthetic images of {store.info.subjects} subjects in {out}.")
    return out


def data_info(store: Annotated[Path, tyro.conf.Positional]) -> None:
    """Describe a store: subjects, views, phases, labels, sizes, spacing, licence.

    Args:
        store: Folder of the store.
    """
    table = Table("what", "value", title=str(store), title_justify="left")
    for name, value in asdict(open_store(store).info).items():
        table.add_row(name, _readable(value))
    Console().print(table)


def _readable(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key or 'none'}: {_readable(inner)}" for key, inner in value.items())
    return str(value)
