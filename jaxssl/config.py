"""Frozen dataclasses as configuration: override by dotted name, check, write to JSON and read back. Knows no recipe.

A field whose value is a dataclass is written with the name of its class, because a recipe's method and model may be any
of many. Only classes of this package are read back, so that a file names data and never code to import.
"""

import dataclasses
import difflib
import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from jaxssl.errors import UserError
from jaxssl.files import put_text

T = TypeVar("T")
KIND = "kind"
PACKAGE = "jaxssl"


def flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All values by dotted name, in the order of declaration."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from flat(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def override(config: T, changes: Mapping[str, Any]) -> T:
    """A copy with values replaced by dotted name; an unknown name is refused with the nearest known one."""
    for name, value in changes.items():
        config = _replace(config, name.split("."), value, name, [known for known, _ in flat(config)])
    return config


def _replace(config: Any, path: list[str], value: Any, name: str, known: list[str]) -> Any:
    head, *rest = path
    if head not in getattr(config, "__dataclass_fields__", ()):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise UserError(f"There is no option {name!r}; the nearest is {near[0]!r}.")
    if rest:
        new = _replace(getattr(config, head), rest, value, name, known)
    else:
        new = tuple(value) if isinstance(value, list) else value
        hint = get_type_hints(type(config))[head]
        if not _fits(new, hint):
            raise UserError(f"{name} takes {getattr(hint, '__name__', hint)}, not {value!r}.")
    return dataclasses.replace(config, **{head: new})


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type as option fields declare it; an int serves for a float."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in inner
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is tuple:
        kinds = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1] is ... else inner
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if isinstance(value, bool) or isinstance(hint, TypeVar):
        return hint is bool or dataclasses.is_dataclass(value)
    return isinstance(value, int | float if hint is float else hint)


def check(config: Any) -> None:
    """Refuse numbers that nothing can be computed with, and run every `check` in the tree, parts before the whole."""
    for name, value in flat(config):
        for number in value if isinstance(value, tuple) else (value,):
            if not _ordinary(number, 2**32 if name.endswith("seed") else 2**31):
                raise UserError(f"{name} must be a finite number of ordinary size, not {value}.")
    _check(config)


def _ordinary(value: Any, limit: int) -> bool:
    """Whether a number, if it is one, is finite in float32 or less than the limit in int32."""
    if isinstance(value, float):
        return abs(value) < 1e38
    return not isinstance(value, int) or -limit < value < limit


def _check(config: Any) -> None:
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(value := getattr(config, field.name)):
            _check(value)
    if hasattr(config, "check"):
        config.check()


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values, each dataclass with its class name under "kind"."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    plain = {name: to_dict(v) if dataclasses.is_dataclass(v) else v for name, v in values.items()}
    return {KIND: f"{type(config).__module__}:{type(config).__qualname__}", **plain}


def from_dict(plain: Mapping[str, Any], where: str) -> Any:
    """The inverse of `to_dict`; `where` names the source in errors."""
    cls = _class_named(plain.get(KIND), where)
    known = {field.name for field in dataclasses.fields(cls)}
    values = {name: value for name, value in plain.items() if name != KIND}
    if unknown := sorted(set(values) - known):
        raise UserError(f"{where} holds options that this version does not know: {', '.join(unknown)}.")
    return cls(**{name: _from_plain(value, where) for name, value in values.items()})


def _from_plain(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return from_dict(value, where)
    return tuple(_from_plain(v, where) for v in value) if isinstance(value, list) else value


def _class_named(kind: Any, where: str) -> type:
    module, _, name = str(kind).partition(":")
    no_class = f"{where} names {kind!r}, which is no configuration class of {PACKAGE}; name a file that it has written."
    if module.split(".")[0] != PACKAGE or not name.isidentifier():
        raise UserError(no_class)
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{where} names {kind!r}, which this version of {PACKAGE} does not have; take the one that wrote it."
        ) from error
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise UserError(no_class)
    return cls


def save(config: Any, path: Path) -> None:
    """Write as JSON, beside and renamed."""
    write_json(to_dict(config), path)


def load(path: Path) -> Any:
    """Read what `save` wrote."""
    return from_dict(read_json(path), str(path))


def write_json(value: Any, path: Path) -> None:
    """Write a value, beside and renamed."""
    put_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON object or say what is wrong with the file."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; bring it back, or name a folder that has one.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}); bring back one that is whole.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object; bring back one that is whole.")
    return value
