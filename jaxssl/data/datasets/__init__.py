"""Public data sets, one a module, and `folder` for anything else; each is known by the name of its module."""

import difflib
import functools
import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Literal

from jaxssl.data.datasets.base import Set
from jaxssl.data.datasets.folder import Folder
from jaxssl.errors import UserError

__all__ = ["Set", "names", "set_of"]


def set_of(
    name: str,
    tables: Sequence[Path] = (),
    subject: Literal["folder", "file"] | None = None,
    labels: Sequence[str] = (),
    classes: Sequence[str] = (),
    fan: bool = False,
) -> Set:
    """The set of that name; the rest are options of `folder`."""
    kinds = _kinds()
    if name not in kinds:
        nearest = difflib.get_close_matches(name, kinds, 1, 0)[0]
        raise UserError(f"There is no data set {name!r}; the nearest is {nearest!r}, of {', '.join(kinds)}.")
    if kinds[name] is Folder:
        return Folder(tables=tables, subject=subject, labels=labels, classes=classes, fan=fan)
    if tables or subject or labels or classes or fan:
        raise UserError(
            f"The layout of {name} is known: leave out --csv, --labels, --classes, --subject and --fan, or ingest it "
            "as folder."
        )
    return kinds[name]()


def names() -> list[str]:
    """All of them."""
    return list(_kinds())


@functools.cache
def _kinds() -> Mapping[str, type[Set]]:
    """The sets by name: those that a module here defines."""
    modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    kinds = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    return {kind.name: kind for kind in kinds if issubclass(kind, Set) and kind is not Set}
