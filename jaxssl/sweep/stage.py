"""What a sweep is made of: stages, which name each other, and the points that they lead to."""

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxssl.errors import UserError

Options = Mapping[str, Any]
"""Overrides of a recipe, or what a verb is told, by their names."""

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
"""The verbs that a stage may be, and where in a sweep's folder they write; None writes into the run that is asked."""


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
    """By their names; those with a dot override the recipe, the others are the verb's own."""
    label: str = ""
    """What people read in the folder's name; verb and recipe unless given."""

    def __post_init__(self):
        if self.verb not in ROOMS:
            near = difflib.get_close_matches(self.verb, ROOMS, n=1, cutoff=0.0)[0]
            raise UserError(f"{self.verb!r} cannot be a stage; the nearest is {near!r}, of {', '.join(ROOMS)}.")
        if ROOMS[self.verb] is None and not isinstance(self.of, Stage):
            raise UserError(f"The stage {self.verb} of {self.of} asks a run of this sweep: give the stage that trains.")

    @cached_property
    def key(self) -> str:
        """Names what the stage says, its verb, recipe and options, and so all stages that it needs."""
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

    def resolved(
        self, place: Callable[["Stage"], str], steps: Callable[[str, str], Any] = "of {} in the time of {}".format
    ) -> tuple[Any, dict[str, Any]]:
        """`of` and `options` with each stage replaced by its place, and `StepsInTime` by the `steps` of two places."""

        def known(value: Any) -> Any:
            match value:
                case Stage():
                    return place(value)
                case Within():
                    return f"{place(value.stage)}/{value.file}"
                case StepsInTime():
                    return steps(place(value.run), place(value.reference))
                case tuple() | list():
                    return tuple(map(known, value))
            return value

        return known(self.of), {name: known(value) for name, value in self.options.items()}

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
class StepsInTime:
    """As `train.steps`: those of a training like `run` that take as long as all of `reference`, once both are finished.

    >>> simclr, mim = Stage("pretrain", "simclr"), Stage("pretrain", "mim")
    >>> Stage("pretrain", "mim", {"train.steps": StepsInTime(mim, simclr)}).needs == (mim, simclr)
    True
    """

    run: Stage
    reference: Stage


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


def _text(value: Any) -> str:
    """What JSON does not know but a path is refused: it would not say the same in another process."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a stage takes plain values, paths and stages, not {value!r}")
