"""A stage of a sweep as a call of its verb, the file by which it is known to be done, and whose turn it is to do it."""

import contextlib
import functools
import inspect
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jaxssl import config
from jaxssl.data.phantom import CineOptions, KneeOptions, UltrasoundOptions
from jaxssl.data.store import SUMMARY
from jaxssl.errors import UserError
from jaxssl.files import put_text, take_or_warn
from jaxssl.recipe import PLACES, lasting, load_recipe
from jaxssl.run.data import data_phantom
from jaxssl.run.evaluate import evaluate
from jaxssl.run.ingest import data_ingest
from jaxssl.run.judging import FILES
from jaxssl.run.lvef import data_lvef
from jaxssl.run.probe import asked, probe
from jaxssl.run.rates import steps_in_time
from jaxssl.run.saliency import saliency
from jaxssl.run.segmentation import segment
from jaxssl.run.split import data_split
from jaxssl.run.stepping import bench_step
from jaxssl.run.terminal import console_of, warner
from jaxssl.run.training import finetune, pretrain
from jaxssl.sweep import Stage
from jaxssl.workdir import Workdir, now

State = Literal["finished", "failed", "running", "begun", "to do"]
Options = Mapping[str, Any]
PHANTOMS = {"cine": CineOptions, "knee": KneeOptions, "ultrasound": UltrasoundOptions}


class Doing(NamedTuple):
    """`call(of, folder, options)` does a stage, `done(folder, options)` looks whether that has come to its end."""

    call: Callable[[Any, Path, Options], Any]
    done: Callable[[Path, Options], bool]


def _training(verb: Callable[..., Any]) -> Doing:
    def call(recipe: str, folder: Path, options: Options) -> None:
        own = {name: value for name, value in options.items() if "." not in name}
        verb(str(recipe), folder, _overrides(options), **own)

    return Doing(call, lambda folder, options: Workdir(folder).finished)


def _is_store(folder: Path, options: Options) -> bool:
    return (folder / SUMMARY).is_file()


def _phantom(kind: str, folder: Path, options: Options) -> None:
    if kind not in PHANTOMS:
        raise UserError(f"There is no phantom {kind!r}; there are {', '.join(PHANTOMS)}.")
    data_phantom(folder, PHANTOMS[kind](**options))


def _given(verb: Callable[..., Any], options: Options) -> Options:
    """All options of a verb; those that are not given as it takes them by itself."""
    return {name: each.default for name, each in inspect.signature(verb).parameters.items()} | dict(options)


def _probed(folder: Path, options: Options) -> bool:
    given = _given(probe, options)
    wanted = given["target"], given["k"], given["temperature"]
    return any(asked(_said(path)) == wanted for path in folder.glob("probe*.json"))


def _explained(folder: Path, options: Options) -> bool:
    given = _given(saliency, options)
    wanted, value = ("usual", True) if given["map"] is None else ("map", given["map"])
    found = [_said(path) for path in folder.glob("saliency*.json")]
    return any(said.get("on") == given["on"] and said.get(wanted) == value for said in found)


def _timed(folder: Path, options: Options) -> bool:
    told = _said(folder / "step.jsonl").get("asked", {})
    given = _given(bench_step, options)
    return bool(told) and all(told[name] == given[name] for name in told)


DOINGS = {
    "phantom": Doing(_phantom, _is_store),
    "ingest": Doing(lambda kind, folder, options: data_ingest(kind, out=folder, **options), _is_store),
    "segment": Doing(lambda run, folder, options: segment(Path(run), out=folder, **options), _is_store),
    "lvef": Doing(lambda store, folder, options: data_lvef(Path(store), folder, **options), _is_store),
    "split": Doing(
        lambda store, folder, options: data_split(store, folder, **options),
        lambda folder, options: (folder / "split.json").is_file(),
    ),
    "pretrain": _training(pretrain),
    "finetune": _training(finetune),
    "evaluate": Doing(
        lambda run, folder, options: evaluate(folder, **options),
        lambda folder, options: (folder / FILES[options.get("on", "test")]).is_file(),
    ),
    "probe": Doing(lambda run, folder, options: probe(folder, **options), _probed),
    "bench": Doing(
        lambda run, folder, options: bench_step(config.load(folder / "recipe.json"), folder, fed=True, **options),
        _timed,
    ),
    "saliency": Doing(lambda run, folder, options: saliency(folder, **options), _explained),
}


class Busy(Exception):
    """Another process is at this place now."""

    def __init__(self, place: "Place"):
        super().__init__(place.stage.name)
        self.place = place


class Failed(Exception):
    """A stage could not be done; the message says why, and where."""


@contextlib.contextmanager
def holding(root: Path, name: str, wait: bool = False) -> Iterator[bool]:
    """Whether the lock of this name in the folder of a sweep is this process's alone, while the block lasts."""
    lock = root / "stages" / f"{name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        yield take_or_warn(file, _warn_once, wait)


@functools.cache
def _warn_once(sentence: str) -> None:
    """Of a sweep's locks all are alike."""
    warner(console_of(None))(sentence)


@dataclass(frozen=True)
class Place:
    """A stage in the folder of a sweep. What it has made says whether it is done; a note beside, how it went."""

    root: Path
    stage: Stage

    @property
    def folder(self) -> Path:
        return self.stage.folder(self.root)

    @property
    def note(self) -> Path:
        return self.root / "stages" / f"{self.stage.name}.json"

    @property
    def facts(self) -> dict[str, Any]:
        """What the note says; nothing before the stage is begun, or where the note is damaged."""
        try:
            return _said(self.note)
        except UserError:
            return {}

    @property
    def done(self) -> bool:
        """What is damaged is not done: its verb makes it anew, or says what is wrong, which fails this stage alone."""
        _, options = self.stage.resolved(self._where)
        try:
            return DOINGS[self.stage.verb].done(self.folder, options)
        except UserError:
            return False

    @property
    def state(self) -> State:
        """As the disk has it."""
        if self.done:
            return "finished"
        if not (how := self.facts.get("state")):
            return "to do"
        try:
            with self.turn():
                return "failed" if how == "failed" else "begun"
        except Busy:
            return "running"

    @contextlib.contextmanager
    def turn(self, wait: bool = False) -> Iterator[None]:
        """This process's alone, or `Busy`.

        What writes into one folder takes turns, as `probe` and `evaluate` of a run do.
        """
        with holding(self.root, self.folder.name, wait) as mine:
            if not mine:
                raise Busy(self)
            yield

    def do(self, since: float, begin: Callable[[], None]) -> None:
        """Do the stage unless it is done, calling `begin` first; `Failed` if it fails, or failed elsewhere `since`."""
        if not self.done:
            with self.turn():
                if not self.done:  # nor by another that was at it when we looked
                    return self._try(since, begin)
        try:
            self._refuse_changed()
        except UserError as error:
            raise self._failed(str(error)) from error

    def _try(self, since: float, begin: Callable[[], None]) -> None:
        before = self.facts
        if before.get("state") == "failed" and before["time"] >= since:
            raise self._failed(before["sentence"])
        tries, spent, began = before.get("tries", 0) + 1, before.get("seconds", 0.0), time.time()

        def tell(state: str, **facts: Any) -> None:
            self._tell(state=state, tries=tries, seconds=round(spent + time.time() - began, 2), **facts)

        begin()
        tell("begun")
        try:
            self._call()
        except Exception as error:  # one stage that fails, of whatever, does not stop the others
            sentence = self._sentence(error)
            tell("failed", sentence=sentence)
            raise self._failed(sentence) from error
        tell("finished")

    def _call(self) -> None:
        of, options = self.stage.resolved(self._where, self._steps)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        DOINGS[self.stage.verb].call(of, self.folder, options)

    def _where(self, stage: Stage) -> str:
        return str(stage.folder(self.root))

    def _steps(self, run: str, reference: str) -> int:
        """Those in equal time; counted once, as what they were counted by may be gone or made anew later."""
        begun = self.folder / "recipe.json"
        return config.load(begun).train.steps if begun.exists() else steps_in_time(run, reference)

    def _tell(self, **facts: Any) -> None:
        about = {"verb": self.stage.verb, "folder": str(self.folder), "when": now(), "time": time.time()}
        config.write_json({**about, **facts}, self.note)

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, UserError):
            return str(error)
        log = self.note.with_suffix(".log")
        put_text(log, traceback.format_exc())
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}; all of it is in {log}."

    def _failed(self, sentence: str) -> Failed:
        return Failed(f"{sentence} Its folder is {self.folder}.")

    def _refuse_changed(self) -> None:
        """Refuse a run that was made by what the recipe said then, where that says something else now."""
        if self.stage.verb not in ("pretrain", "finetune"):
            return
        recipe, options = self.stage.resolved(self._where, self._steps)
        told = lasting(config.to_dict(load_recipe(str(recipe), _overrides(options))))
        known = lasting(config.read_json(self.folder / "recipe.json"))
        names = sorted(name for name in told.keys() | known.keys() if name not in PLACES)
        if changed := [name for name in names if told.get(name) != known.get(name)]:
            raise UserError(
                f"The recipe {recipe} has changed since: {changed[0]} was {known.get(changed[0])!r} and is now "
                f"{told.get(changed[0])!r}; bring the old one back, or take another --workdir."
            )


def _overrides(options: Options) -> dict[str, Any]:
    dotted = {name: value for name, value in options.items() if "." in name}
    return {name: str(value) if isinstance(value, Path) else value for name, value in dotted.items()}


def _said(path: Path) -> dict[str, Any]:
    return config.read_json(path) if path.is_file() else {}
