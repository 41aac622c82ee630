"""A study as a sweep: named points, and the stages that lead to them, which several points may share.

A study is one file: a docstring, and `sweep(scale, ...)` that yields points. It is Python and is run as such; further
keywords of its `sweep` are flags of `jaxssl ablate`. What of it has been done is known from the disk alone.

>>> hearts = Stage("phantom", "cine", {"subjects": 40})
>>> mim = Stage("pretrain", "mim:small", {"data.store": hearts})
>>> few = Stage("finetune", "segment:small", {"data.store": hearts, "data.subjects": 2, "init.run": mim})
>>> [stage.verb for stage in in_order(Point("from mim", (few,)).stages)]
['phantom', 'pretrain', 'finetune']
"""

import difflib
import hashlib
import importlib.util
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from jaxssl.data.source import Part
from jaxssl.errors import UserError

T = TypeVar("T")
Options = Mapping[str, Any]
"""Overrides of a recipe, or what a verb is told, by their names."""
Scale = Literal["smoke", "small", "paper"]
"""Minutes on two cores; hours on one GPU; the study's own numbers."""

ROOMS = {
    "phantom": "stores",
    "ingest": "stores",
    "segment": "stores",
    "lvef": "stores",
    "split": "splits",
    "pretrain": "runs",
    "finetune": "runs",
    "evaluate": None,
    "probe": None,
    "bench": None,
    "saliency": None,
}
"""The verbs that a stage may be, and where in a sweep's folder they write: None writes into the run that is asked."""


SEED = re.compile(r"/seed-\d+$")
"""What ends the names of points that differ in their seeds alone."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One call of a verb. Two stages that say the same are one, and have one folder.

    >>> Stage("pretrain", "mim", {"train.seed": 0}).key == Stage("pretrain", "mim", {"train.seed": 1}).key
    False
    >>> Stage("pretrain", "mim").key == Stage("pretrain", "mim", label="another word for it").key
    True
    """

    verb: str
    of: "str | Path | Stage"
    """The recipe of a training, the kind of a phantom, the set that is ingested; else the store or the run."""
    options: Options = field(default_factory=dict)
    """By their names: those with a dot override the recipe, the others are the verb's own."""
    label: str = ""
    """What people read in the folder's name; verb and recipe unless given."""
    machine: str = ""
    """The only hardware that it may be done on, where its steps were counted by what they take there."""

    def __post_init__(self):
        if self.verb not in ROOMS:
            near = difflib.get_close_matches(self.verb, ROOMS, n=1, cutoff=0.0)[0]
            raise UserError(f"{self.verb!r} cannot be a stage; the nearest is {near!r}, of {', '.join(ROOMS)}.")
        if ROOMS[self.verb] is None and not isinstance(self.of, Stage):
            raise UserError(f"The stage {self.verb} of {self.of} asks a run of this sweep: give the stage that trains.")

    @cached_property
    def key(self) -> str:
        """Names what the stage says: verb, recipe and options, and so all stages that it needs."""
        said = [self.verb, *self.resolved(lambda stage: f"stage {stage.key}")]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=_text).encode()).hexdigest()[:10]

    @property
    def name(self) -> str:
        """For files and people."""
        words = self.label or f"{self.verb} {self.of.verb if isinstance(self.of, Stage) else self.of}"
        return f"{re.sub(r'[^a-zA-Z0-9.+]+', '-', words).strip('-')[-80:]}-{self.key}"

    @property
    def needs(self) -> tuple["Stage", ...]:
        """The stages whose folders its options name."""
        found: list[Stage] = []
        self.resolved(lambda stage: found.append(stage) or "")
        return tuple(found)

    def resolved(self, place: Callable[["Stage"], str]) -> tuple[Any, dict[str, Any]]:
        """`of` and `options` with each stage replaced by its place."""
        return _resolved(self.of, place), {name: _resolved(value, place) for name, value in self.options.items()}

    def folder(self, root: Path) -> Path:
        """Where it writes."""
        if isinstance(self.of, Stage) and ROOMS[self.verb] is None:
            return self.of.folder(root)
        return root / str(ROOMS[self.verb]) / self.name

    def __truediv__(self, file: str) -> "Within":
        return Within(self, file)


@dataclass(frozen=True, eq=False)
class Within:
    """A file in the folder of a stage.

    >>> division = Stage("split", Path("stores/acdc"))
    >>> Stage("finetune", "segment", {"data.split": division / "split.json"}).needs == (division,)
    True
    """

    stage: Stage
    file: str


@dataclass(frozen=True, eq=False)
class Point:
    """A named result of a study: the last stage is the one that it is known by.

    >>> Point("scratch/seed-1", (Stage("finetune", "segment", {"train.seed": 1}),)).stages[-1].verb
    'finetune'
    """

    name: str
    stages: tuple[Stage, ...]
    tables: tuple[str, ...] = ()
    """Captions of the tables of gains in which its run stands on the page, beside those that share them."""

    def __post_init__(self):
        if not self.stages:
            raise UserError(f"The point {self.name} has no stage; give it at least one.")


@dataclass(frozen=True)
class Cohort:
    """The subjects of a study, and who of them is trained on, chosen by and tested on.

    >>> Cohort(Path("stores/acdc"), Path("splits/acdc")).options["data.split"].name
    'split.json'
    """

    store: Stage | Path
    divisions: Stage | Path
    """A folder as `jaxssl data split` makes it."""

    @property
    def options(self) -> dict[str, Any]:
        """Of a recipe that learns from them."""
        return {"data.store": self.store, "data.split": self.divisions / "split.json"}


@dataclass(frozen=True, kw_only=True)
class CommonSetting:
    """What a scale means in any study; each adds what it varies.

    >>> hearts = Stage("phantom", "cine", {"subjects": 40})
    >>> CommonSetting(seeds=2, phantoms={"hearts": hearts}).cohort(store=None, split=None).store is hearts
    True
    """

    seeds: int
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Of the subjects: to train on, to choose by and to test on."""
    phantoms: Mapping[str, Stage] = field(default_factory=dict)
    """Made where no store is given; where there are none of these, stores have to be."""
    pretraining: Options = field(default_factory=dict)
    finetuning: Options = field(default_factory=dict)

    def cohort(self, store: Path | None, split: Path | None, phantom: str = "hearts", **division: Any) -> Cohort:
        """The data that are given, or a phantom, and divided so; refuse what cannot be had."""
        if store is None and phantom not in self.phantoms:
            raise UserError("This scale is for real data: give --store, which `jaxssl data ingest` makes.")
        if store is None and split is not None:
            raise UserError(f"--split {split} is of a store: give --store as well.")
        subjects = store.absolute() if store else self.phantoms[phantom]
        made = {"sizes": (), "fractions": self.fractions, **division}
        return Cohort(subjects, split.absolute() if split else Stage("split", subjects, made))


def judged(name: str, tuned: Stage, on: Part, *more: Stage, tables: tuple[str, ...] = ()) -> Point:
    """A fine-tuning that validation subjects judge and, once nothing is left to choose, the test subjects too.

    >>> tuned = Stage("finetune", "segment", choosing("study.py", "scratch"))
    >>> [[stage.verb for stage in judged("scratch", tuned, on).stages] for on in ("validation", "test")]
    [['finetune'], ['finetune', 'evaluate']]
    """
    return Point(name, (tuned, *([Stage("evaluate", tuned)] if on == "test" else []), *more), tables)


def choosing(study: str, name: str) -> dict[str, Any]:
    """What the fine-tuning of a point is told besides its recipe: to be judged by validation subjects, and its arm.

    That is the study's name and its own, without the seed; the run keeps it from its beginning.

    >>> choosing("experiments/cine_segmentation.py", "mim/2/seed-1")
    {'on': 'validation', 'planned': 'cine_segmentation/mim/2'}
    """
    return {"on": "validation", "planned": f"{Path(study).stem}/{SEED.sub('', name)}"}


@dataclass(frozen=True)
class Study:
    """A file that has been read.

    >>> def sweep(scale, seeds=1):
    ...     return [Point(f"seed-{seed}", (Stage("pretrain", "mim", {"train.seed": seed}),)) for seed in range(seeds)]
    >>> [point.name for point in Study(Path("mine.py"), "Seeds.", sweep).points({"scale": "smoke", "seeds": 2})]
    ['seed-0', 'seed-1']
    """

    path: Path
    about: str
    """Its docstring: question, findings, commands, time."""
    sweep: Callable[..., Iterable[Point]]

    def points(self, given: Mapping[str, Any]) -> tuple[Point, ...]:
        """The points that `sweep` yields for the keywords given, once they are known to be of one mind."""
        try:
            inspect.signature(self.sweep).bind(**given)
        except TypeError as error:
            known = ", ".join(inspect.signature(self.sweep).parameters)
            raise UserError(f"The sweep of {self.path} takes {known}; {error}.") from error
        try:
            points = tuple(self.sweep(**given))
            _check(self.path, points)
        except UserError:
            raise
        except Exception as error:  # whatever a study does wrong is the user's to see in one sentence
            raise UserError(
                f"The sweep of {self.path} failed ({type(error).__name__}: {error}); mend the file."
            ) from error
        return points


def load_study(path: str | Path) -> Study:
    """Read the file of a study.

    >>> load_study("experiments/cine_segmentation.py").about.split("?")[0]
    'Which pretraining helps cine segmentation, and with how many labels'
    """
    path = Path(path)
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"There is no study {path}: give a Python file with a function sweep(scale).")
    spec = importlib.util.spec_from_file_location(f"jaxssl_study_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - a file that ends in .py has both
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"Study {path} cannot be read ({type(error).__name__}: {error}); mend the file.") from error
    sweep = getattr(module, "sweep", None)
    if not inspect.isfunction(sweep):
        raise UserError(f"Study {path} has no function sweep(scale); define one that yields points.")
    return Study(path, inspect.getdoc(module) or "", sweep)


def of_scale(scale: str, known: Mapping[str, T]) -> T:
    """What a study has for a scale.

    >>> of_scale("smoke", {"smoke": 2, "small": 40})
    2
    """
    if scale not in known:
        raise UserError(f"There is no scale {scale!r} of this study; there are {', '.join(known)}.")
    return known[scale]


def select(points: Sequence[Point], patterns: Sequence[str] = (), only: str | None = None) -> tuple[Point, ...]:
    """The points whose names any of the patterns fits, as in `mim/*`; of these every n-th from i for `only` i/n.

    >>> names = ["mim/1", "mim/2", "scratch/1", "scratch/2"]
    >>> points = [Point(name, (Stage("finetune", "segment"),)) for name in names]
    >>> [point.name for point in select(points, ["mim/*"], only="1/2")]
    ['mim/2']
    """
    names = [point.name for point in points]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.0)[0]
            raise UserError(f"No point is called {pattern!r}; the nearest of the {len(names)} is {near!r}.")
    chosen = [point for point in points if not patterns or any(fnmatchcase(point.name, each) for each in patterns)]
    if only is None:
        return tuple(chosen)
    numbers = re.fullmatch(r"(\d+)/(\d+)", only)
    first, step = map(int, numbers.groups()) if numbers else (0, 0)
    if not 0 <= first < step:
        raise UserError(f"--only {only} is no i/n: of four jobs the first is 0/4 and the last 3/4.")
    return tuple(chosen[first::step])


def in_order(stages: Iterable[Stage]) -> list[Stage]:
    """These stages and all that they need, each once and after what it needs.

    >>> pretrained = Stage("pretrain", "mim")
    >>> tuned = [Stage("finetune", "segment", {"init.run": pretrained, "train.seed": seed}) for seed in (0, 1)]
    >>> [stage.verb for stage in in_order(tuned)]
    ['pretrain', 'finetune', 'finetune']
    """
    found: dict[str, Stage] = {}

    def add(stage: Stage) -> None:
        if stage.key not in found:
            for need in stage.needs:
                add(need)
            found[stage.key] = stage

    for stage in stages:
        add(stage)
    return list(found.values())


def _resolved(value: Any, place: Callable[[Stage], str]) -> Any:
    if isinstance(value, Stage):
        return place(value)
    if isinstance(value, Within):
        return f"{place(value.stage)}/{value.file}"
    return tuple(_resolved(each, place) for each in value) if isinstance(value, tuple | list) else value


def _text(value: Any) -> str:
    """What JSON does not know but a path is refused: it would not say the same in another process."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a stage takes plain values, paths and stages, not {value!r}")


def _check(path: Path, points: Sequence[Point]) -> None:
    """Points have names of their own, and a stage that several share has one label."""
    if not points:
        raise UserError(f"The sweep of {path} yields no point; have it yield at least one for these options.")
    names = [point.name for point in points]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"The sweep of {path} yields two points {twice[0]!r}: give each a name of its own.")
    labels: dict[str, str] = {}
    timed: dict[str, str] = {}
    for point in points:
        # One stage under two labels would have two folders, and be done twice.
        for stage in _all(point.stages):
            if labels.setdefault(stage.key, stage.name) != stage.name:
                raise UserError(
                    f"The sweep of {path} has one stage under two labels, {labels[stage.key]} and {stage.name}: "
                    "give it one."
                )
            # The second would take the place of the first, which would never be done.
            where = stage.folder(Path()).name
            if stage.verb == "bench" and timed.setdefault(where, stage.key) != stage.key:
                raise UserError(f"The sweep of {path} times {where} in two ways: give both the same options.")


def _all(stages: Iterable[Stage]) -> Iterable[Stage]:
    """These stages and all that they need, as often as they are named."""
    for stage in stages:
        yield from _all(stage.needs)
        yield stage
