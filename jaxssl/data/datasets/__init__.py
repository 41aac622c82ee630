"""Public data sets, one a module, and `folder` for anything else; each is known by the name of its module."""

import functools
import pkgutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Literal

from jaxssl.data.datasets.base import Set
from jaxssl.data.datasets.folder import Folder
from jaxssl.errors import UserError

__all__ = ["Set", "names", "set_of"]


def set_of(name: str, table: Path | None = None, subject: Literal["folder", "file"] | None = None) -> Set:
    """The set of that name; `table` and `subject` are options of `folder`."""
    kinds = _kinds()
    if name not in kinds:
        raise UserError(f"There is no data set {name!r}: name one of {', '.join(kinds)}.")
    if kinds[name] is Folder:
        return Folder(table, subject)
    if table or subject:
        raise UserError(f"The layout of {name} is known: leave out --csv and --subject, or ingest it as folder.")
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
