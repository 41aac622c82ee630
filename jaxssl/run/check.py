"""`data check`: what is wrong with a store, and whether it keeps its subjects' names."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from jaxssl import config
from jaxssl.data.check import Findings, check_store
from jaxssl.data.splitfile import PARTS, read_split
from jaxssl.data.store import open_store
from jaxssl.errors import UserError
from jaxssl.run.terminal import bar_on, console_of


class Faulty(UserError):
    """The store has errors."""

    exit_code = 1


class Suspect(UserError):
    """The store has warnings, where the user wanted to be told."""

    exit_code = 3


def data_check(
    store: Annotated[Path, tyro.conf.Positional],
    split: Path | None = None,
    out: Path | None = None,
    strict: bool = False,
) -> None:
    """Look through a whole store: checksums, privacy, near duplicates, masks, geometry, images that show nothing.

    The exit code is 0 where there are no errors (nor warnings, with --strict: 3), and 1 where there are.

    >>> jaxssl.data_check("stores/hearts")  # doctest: +ELLIPSIS
    stores/hearts...

    Args:
        store: Folder of the store.
        split: A file of `jaxssl data split`; near duplicates in two of its parts are told.
        out: Write the findings to this JSON file as well.
        strict: End with exit code 3 if there are warnings.
    """
    progress_to = console_of(None)
    part_of = _parts_of(split, store) if split else None
    with bar_on(progress_to) as bar:
        task = bar.add_task("checking", total=None)
        found = check_store(store, part_of, lambda done, total: bar.update(task, completed=done, total=total))
    _show(store, found)
    if out:
        content = {"errors": found.errors, "warnings": found.warnings, "findings": found.to_json()}
        config.write_json({"store": str(store), **content}, Path(out))
    if found.errors:
        raise Faulty(f"{store} has {_counted(found.errors, 'error')}: mend what is named, and write the store again.")
    if strict and found.warnings:
        raise Suspect(f"{store} has {_counted(found.warnings, 'warning')}, under --strict: see whether they are meant.")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _parts_of(split: Path, store: Path) -> dict[str, str]:
    """The part in which each subject is, by a split of this store."""
    read, opened = read_split(split), open_store(store)
    if read.fingerprint != opened.fingerprint:
        raise UserError(
            f"{split} is a split of {read.store} {read.fingerprint}, and {store} holds {opened.info.name} "
            f"{opened.fingerprint}: name the split's store, or a split of this one."
        )
    return {who: part for part in PARTS for who in getattr(read.parts, part)}


def _show(store: Path, found: Findings) -> None:
    console = Console()
    if rows := found.to_json():
        table = Table("", "count", Column("what", overflow="fold"), Column("first of them", overflow="fold"))
        for row in rows:
            style = "red" if row["severity"] == "error" else "yellow"
            examples = "\n".join(map(escape, row["examples"]))
            table.add_row(f"[{style}]{row['severity']}[/]", str(row["count"]), row["meaning"], examples)
        console.print(table)
    verdict = "no errors" if not found.errors else f"{found.errors} errors"
    console.print(
        f"{store}: {verdict}, {found.warnings or 'no'} warnings.", markup=False, highlight=False, soft_wrap=True
    )
