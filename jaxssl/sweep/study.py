"""The file of a study, read, and which of its points are asked for."""

import difflib
import importlib.util
import inspect
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from jaxssl.errors import UserError
from jaxssl.recipe import flag
from jaxssl.sweep.stage import Point, Stage


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
    """Its docstring, with question, findings, commands and time."""
    sweep: Callable[..., Iterable[Point]]

    @property
    def name(self) -> str:
        """That of its file."""
        return self.path.stem

    @property
    def question(self) -> str:
        """The first paragraph of its docstring, as far as the first question mark."""
        first = " ".join(self.about.partition("\n\n")[0].split())
        asked, mark, _ = first.partition("?")
        return asked + mark

    def command(self, workdir: Path, given: Mapping[str, Any], **told: Any) -> str:
        """What is typed to have its points in a folder; options that are as they are without being said are not.

        `told` is for the verb itself.

        >>> def sweep(scale="smoke", store=None):
        ...     return []
        >>> study, given = Study(Path("mine.py"), "", sweep), {"scale": "smoke", "store": Path("stores/b")}
        >>> study.command(Path("sweeps/a"), given, points=("mim/*",), report=True)
        "jaxssl ablate mine.py --workdir sweeps/a --store stores/b --points 'mim/*' --report"
        """
        usual = inspect.signature(self.sweep).parameters
        words = ["jaxssl", "ablate", str(self.path), "--workdir", str(workdir)]
        changed = {name: v for name, v in given.items() if name not in usual or v != usual[name].default}
        for name, value in {**changed, **{name: v for name, v in told.items() if v}}.items():
            words += flag(name, value)
        return shlex.join(words)

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

    >>> load_study("experiments/cine_segmentation.py").question
    'Which pretraining helps cine segmentation, and with how many labels?'
    """
    path = Path(path)
    if path.suffix != ".py" or not path.is_file():
        raise UserError(
            f"There is no study {path.absolute()}: give a Python file with a function sweep(scale), such as those in "
            "experiments/ of jaxssl's repository."
        )
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
            near = max(names, key=lambda name: _likeness(pattern, name))
            raise UserError(f"No point is called {pattern!r}; the nearest of the {len(names)} is {near!r}.")
    chosen = [point for point in points if not patterns or any(fnmatchcase(point.name, each) for each in patterns)]
    if only is None:
        return tuple(chosen)
    numbers = re.fullmatch(r"(\d+)/(\d+)", only)
    first, step = map(int, numbers.groups()) if numbers else (0, 0)
    if not 0 <= first < step:
        raise UserError(f"--only {only} is no i/n: of four jobs the first is 0/4 and the last 3/4.")
    return tuple(chosen[first::step])


def _likeness(pattern: str, name: str) -> float:
    """Part by part, wherever it stands: of the whole the shortest name is the nearest of whatever has a star in it."""
    asked = [part for part in pattern.split("/") if part != "*"]
    return sum(max(difflib.SequenceMatcher(None, part, known).ratio() for known in name.split("/")) for part in asked)


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
