"""What studies are written with: a scale, its data, and points that are judged alike."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from jaxssl.data.source import Part
from jaxssl.data.splitfile import read_split
from jaxssl.errors import UserError
from jaxssl.sweep.stage import Options, Point, Stage

T = TypeVar("T")
Scale = Literal["smoke", "small", "paper"]
"""Minutes on two cores; hours on one GPU; the study's own numbers."""
SEED = re.compile(r"/seed-\d+$")
"""What ends the names of points that differ in their seeds alone."""


def of_scale(scale: str, known: Mapping[str, T]) -> T:
    """What a study has for a scale.

    >>> of_scale("smoke", {"smoke": 2, "small": 40})
    2
    """
    if scale not in known:
        raise UserError(f"There is no scale {scale!r} of this study; there are {', '.join(known)}.")
    return known[scale]


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

    def labelled(self, numbers: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The numbers of labelled subjects below that of a split that is given; None, which is all, for the others.

        As many as there are would be all of them under another name, and more cannot be had.
        """
        if isinstance(self.divisions, Stage):
            return numbers
        there = len(read_split(self.divisions / "split.json").parts.train)
        fewer = tuple(number for number in numbers if number is not None and number < there)
        return fewer if fewer == numbers else (*fewer, None)


@dataclass(frozen=True, kw_only=True)
class CommonSetting:
    """What a scale means in any study; each adds what it varies.

    >>> hearts = Stage("phantom", "cine", {"subjects": 40})
    >>> CommonSetting(seeds=2, phantoms={"hearts": hearts}).cohort(store=None, split=None).store is hearts
    True
    """

    seeds: int
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Of the subjects, those to train on, to choose by and to test on."""
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

    >>> tuned = fine_tuning("study.py", "scratch/seed-0", "segment", 0, {})
    >>> [[stage.verb for stage in judged("scratch/seed-0", tuned, on).stages] for on in ("validation", "test")]
    [['finetune'], ['finetune', 'evaluate']]
    """
    return Point(name, (tuned, *([Stage("evaluate", tuned)] if on == "test" else []), *more), tables)


def fine_tuning(study: str, name: str, recipe: str, seed: int, options: Options) -> Stage:
    """That of a point: the seed draws its labelled subjects and its start, and validation subjects judge it.

    What it was planned for, the study's name and its own without the seed, the run keeps from its beginning.

    >>> stage = fine_tuning("experiments/cine.py", "mim/2/seed-1", "segment", 1, {"data.subjects": 2})
    >>> {name: stage.options[name] for name in ("on", "planned", "data.subset_seed")}
    {'on': 'validation', 'planned': 'cine/mim/2', 'data.subset_seed': 1}
    """
    told = {"on": "validation", "planned": f"{Path(study).stem}/{SEED.sub('', name)}"}
    return Stage("finetune", recipe, {**told, **options, "data.subset_seed": seed, "train.seed": seed}, label=name)
