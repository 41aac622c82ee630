"""A recipe joins the rooms' options: model, method, data, optimiser, training. It lives in `configs/NAME.py`.

A recipe file has `get_config(variant: str) -> Recipe`. It is Python and is run as such; what a run keeps and reads back
is plain JSON.

>>> load_recipe("byol:small@mae:small").model.depth      # BYOL on the network of another recipe
6
"""

import difflib
import importlib.util
import inspect
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from jaxssl import config
from jaxssl.data.source import Data
from jaxssl.errors import UserError
from jaxssl.methods.base import Spec, build
from jaxssl.train.alarms import Monitors
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim

Model = TypeVar("Model")
MethodOptions = TypeVar("MethodOptions")

FOLDERS = (Path(__file__).parent / "configs", Path(__file__).parents[1] / "configs")
"""Where recipes lie: inside an installed wheel, or beside the package in a checkout."""


@dataclass(frozen=True)
class Init:
    """What a run starts from."""

    run: str | None = None
    """A finished run whose parts are taken over; without it and without weights a run starts from scratch."""
    weights: str | None = None
    """A safetensors file to start from instead: named as torchvision's or timm's, or written by `jaxssl export`."""
    parts: tuple[str, ...] = ("encoder", "decoder")
    """Which parts are taken over, where there are such."""

    def check(self) -> None:
        """Refuse two beginnings."""
        if self.run is not None and self.weights is not None:
            raise UserError(
                f"init.run {self.run} and init.weights {self.weights} are two beginnings; leave one of them out."
            )


@dataclass(frozen=True)
class Recipe(Generic[Model, MethodOptions]):
    """Everything that decides a run's result."""

    name: str
    model: Model
    method: MethodOptions
    data: Data = field(default_factory=Data)
    optim: Optim = field(default_factory=Optim)
    train: Train = field(default_factory=Train)
    monitors: Monitors = field(default_factory=Monitors)
    init: Init = field(default_factory=Init)

    def check(self) -> None:
        self.model.check_size(self.data.layout.size)  # type: ignore[attr-defined]
        # Whatever a method refuses about its options it refuses when it is built.
        build(self.method, self.model, self.spec())
        group, part = self.model.group, self.train.batch // self.train.micro_batches  # type: ignore[attr-defined]
        if part % group:
            raise UserError(
                f"model.norm.group {group} does not divide the {part} samples of a micro-batch "
                "(train.batch / train.micro_batches); choose a group that does."
            )

    def spec(self, channels: int = 1, classes: int = 2, labels: int = 2, positions: bool = True) -> Spec:
        """What the method must know of the data; before a store is opened nobody knows how many classes there are."""
        data = self.data
        return Spec(
            data.layout.size,
            channels,
            classes=classes if data.masks else 0,
            guests=len(data.guests),
            partners=data.kinds,
            labels=labels if data.label else 0,
            positions=positions,
            dtype=self.train.dtype,
        )


CARRYING_OUT = (
    "data.resident",
    "monitors.kind",
    "monitors.on_collapse",
    "train.checkpoint_every",
    "train.devices",
    "train.fsdp",
    "train.keep",
    "train.log_every",
    "train.micro_batches",
    "train.probe_every",
    "train.probe_label",
    "train.steps_per_dispatch",
)
"""Options that say how a run is carried out, on which hardware: its result does not depend on them beyond rounding.

Of `monitors` nothing decides a result, so that runs begun before there were any go on."""

PLACES = ("data.store", "data.split", "init.run", "init.weights")
"""Options that say where something lies: it may have been moved, and is told by what it is."""


def lasting(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The options that stay as they are while a run lasts, by dotted name; `plain` is what `config.to_dict` writes."""
    return {name: value for name, value in _flat(plain) if name not in CARRYING_OUT}


def load_recipe(reference: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe that `NAME`, `NAME:variant` or `path/to/file.py:variant` means, with some values replaced.

    `RECIPE@NAME:variant` is the recipe on the network of another one, so that methods meet on the same encoder.
    """
    own, _, other = reference.rpartition("@")
    # In front of a slash it is a letter of a folder's name.
    if not own or "/" in other:
        return config.override(_found(reference), overrides or {})
    recipe, lender = _found(own), _found(other)
    changed = replace(recipe, name=f"{recipe.name}@{lender.name}", model=_lent(lender.model, recipe.model))
    return config.override(changed, overrides or {})


def variants(default: Callable[[], Recipe], *others: Callable[[], Recipe]) -> Callable[[str], Recipe]:
    """A `get_config` that knows these functions by their names; the first is the default."""
    known = {make.__name__: make for make in (default, *others)}

    def get_config(variant: str = default.__name__) -> Recipe:
        if variant not in known:
            near = difflib.get_close_matches(variant, known, n=1, cutoff=0.0)[0]
            raise UserError(f"This recipe has no variant {variant!r}; the nearest is {near!r}, of {', '.join(known)}.")
        return known[variant]()

    return get_config


def names() -> list[str]:
    """The recipes that come with jaxssl."""
    return sorted({path.stem for folder in FOLDERS for path in folder.glob("*.py") if path.stem != "__init__"})


def command(verb: str, recipe: Recipe, workdir: Path) -> str:
    """The command that makes a run again; empty where no flags lead to it from what its name finds."""
    try:
        default = load_recipe(recipe.name)
    except UserError:
        return ""
    if (type(default.model), type(default.method)) != (type(recipe.model), type(recipe.method)):
        return ""
    known, own = dict(config.flat(default)), dict(config.flat(recipe))
    if known.keys() != own.keys():  # no flag makes options come or go, as those of a normalisation
        return ""
    words = ["jaxssl", verb, recipe.name, "--workdir", str(workdir)]
    for name, value in own.items():
        if value != known[name]:
            words += flag(name, value)
    return shlex.join(words)


def _flat(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in plain.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value


def flag(name: str, value: Any) -> list[str]:
    """The words that set one option.

    >>> flag("model.decoder_norm", False), flag("methods", ("simclr", "mim"))
    (['--model.no-decoder-norm'], ['--methods', 'simclr', 'mim'])
    """
    name = name.replace("_", "-")
    if isinstance(value, bool):
        room, dot, last = name.rpartition(".")
        return [f"--{name}" if value else f"--{room}{dot}no-{last}"]
    return [f"--{name}", *map(str, value if isinstance(value, tuple | list) else (value,))]


def _found(reference: str) -> Recipe:
    """The recipe as its file has it."""
    where, _, variant = reference.partition(":")
    get_config = _function_in(_file_of(where))
    try:
        recipe = get_config(variant) if variant else get_config()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"get_config of recipe {where} failed: {type(error).__name__}: {error}.") from error
    if not isinstance(recipe, Recipe):
        raise UserError(
            f"Recipe {where}: get_config should return a jaxssl.recipe.Recipe, not {type(recipe).__name__}."
        )
    return recipe


def _lent(model: Any, instead_of: Any) -> Any:
    """The network of another recipe; its batches for normalisation go by those that the recipe trains with."""
    if model.norm is None or instead_of.norm is None:
        return model
    return replace(model, norm=replace(model.norm, group=instead_of.norm.group))


def _file_of(where: str) -> Path:
    if where.endswith(".py"):
        path = Path(where)
        if path.is_file():
            return path
        raise UserError(f"There is no recipe file {where}; the recipes that come with jaxssl are {', '.join(names())}.")
    for folder in FOLDERS:
        if (path := folder / f"{where}.py").is_file():
            return path
    near = difflib.get_close_matches(where, names(), n=1, cutoff=0.0)[0]
    raise UserError(
        f"There is no recipe {where!r}; the nearest is {near!r}, of {', '.join(names())}; or name a file, X.py."
    )


def _function_in(path: Path):
    spec = importlib.util.spec_from_file_location(f"jaxssl_recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be read as a Python file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:  # whatever a recipe does wrong is the user's to see in one sentence
        raise UserError(f"Recipe {path} cannot be read: {type(error).__name__}: {error}.") from error
    get_config = getattr(module, "get_config", None)
    if not inspect.isfunction(get_config):
        raise UserError(f"Recipe {path} has no function get_config(variant).")
    return get_config
