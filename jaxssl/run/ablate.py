"""`ablate`: the points of a study one after the other, each stage once, whoever else is at work in the same folder."""

import contextlib
import json
import platform
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.table import Column, Table

from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.files import put_text
from jaxssl.reporting.page import OfStudy
from jaxssl.run.judging import FILES, JUDGES
from jaxssl.run.report import report_on
from jaxssl.run.stages import Busy, Failed, Place, State, holding
from jaxssl.run.submitting import Cluster, submit_jobs
from jaxssl.run.terminal import console_of
from jaxssl.sweep import Point, Stage, StepsInTime, Study, Within, in_order, load_study, select
from jaxssl.train.cache import cached_in

SEEDS = ("train.seed", "data.subset_seed")
"""Options on which the time that a stage takes does not depend."""
SAYING: tuple[State, ...] = ("failed", "running", "begun", "to do", "finished")
"""A point is in the first of these states that one of its stages is in."""


STUDY = "study.json"
"""In a folder of a study: whose it is."""


class PointsFailed(UserError):
    """All has been done but for points that failed, which does not stop the others."""

    exit_code = 1


def ablate(
    study: str | Path,
    workdir: str | Path,
    points: Sequence[str] = (),
    only: str | None = None,
    list: bool = False,
    report: bool = False,
    submit: Cluster | None = None,
    jobs: int = 1,
    slurm: Sequence[str] = (),
    **given: Any,
) -> dict[str, State]:
    """Do what is missing of a study's points in a folder, or only list or report them; their states by name.

    `given` are the keywords of the study's `sweep`. What lies in the folder says what is finished: the same call goes
    on after an interruption, tries again what failed, and may be made by several processes at once, which share the
    work.

    >>> states = jaxssl.ablate("experiments/cine_segmentation.py", "sweeps/cine", ["mim/*"], list=True, scale="smoke")
    ... # doctest: +ELLIPSIS
    ┏...mim/2-labelled/seed-0 │ to do │ 0 of 4 ...
    >>> states
    {'mim/2-labelled/seed-0': 'to do'}
    """
    console, root = console_of(None), Path(workdir).absolute()
    read = load_study(study)
    whole = read.points(given)
    asked = select(whole, points)
    chosen = select(asked, only=only)
    _refuse_another(read, root)
    failed: Sequence[str] = ()
    if submit:
        if only is not None:
            raise UserError("--submit divides the points among --jobs by itself; leave --only out.")
        common = {"study": Path(study).absolute(), "workdir": root, "points": tuple(points), **given}
        calls = [{**common, "only": f"{job}/{jobs}"} for job in range(jobs)]
        submit_jobs(ablate, calls, root / "jobs", submit, slurm, console)
    elif report:
        _report(read, chosen, root, read.command(Path(workdir), given, points=points, only=only, report=True))
    elif not list:
        if not (root / STUDY).exists():
            root.mkdir(parents=True, exist_ok=True)
            put_text(root / STUDY, json.dumps({"study": read.name}) + "\n")
        with _shared_programs(root):
            failed = _work(chosen, root, console)
        if _at_an_end(asked, root) and _runs(asked, root):
            with holding(root, "report") as mine:  # all processes come here at once; one page is enough
                if mine:
                    _report(read, whole, root, read.command(Path(workdir), given, report=True))
        elif only is not None:
            console.print("The page comes when the other parts are at their end as well; --report makes it before.")
    if list:
        Console().print(_table(chosen, root))
    states: dict[str, State] = {point.name: _state(point, root) for point in chosen}
    finished = sum(state == "finished" for state in states.values())
    console.print(f"{finished} of {len(states)} points are finished in {root}.")
    if failed:
        raise PointsFailed(f"{len(failed)} points failed ({', '.join(failed)}); the same command tries them again.")
    return states


def _refuse_another(study: Study, root: Path) -> None:
    """A folder has one page, that of one study."""
    path = root / STUDY
    if path.exists() and (known := config.read_json(path)["study"]) != study.name:
        raise UserError(f"{root} is a folder of {known}; choose another --workdir for {study.name}.")


def _work(points: Sequence[Point], root: Path, console: Console) -> list[str]:
    """Every point in its order; one that waits for another process is put off for as long as others are to be done.

    Names of those that failed.
    """
    since, waiting, failed = time.time(), list(points), []
    while waiting:
        held = {}
        for point in waiting:
            try:
                _do(point, points, root, since, console)
            except Busy as busy:
                held[point] = busy.place
            except Failed as error:
                console.print(f"{point.name} failed: {error}", style="red")
                failed.append(point.name)
        if len(held) == len(waiting):
            place = held[waiting[0]]
            console.print(f"Waiting for another process, which is at {place.stage.name}.")
            with place.turn(wait=True):
                pass
        waiting = list(held)
    return failed


def _shared_programs(root: Path) -> contextlib.AbstractContextManager[None]:
    """Runs that differ in their seeds compile the same programs: each is kept in a folder, one a machine."""
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return contextlib.nullcontext()
    return cached_in(root / "compiled" / platform.node())


def _do(point: Point, points: Sequence[Point], root: Path, since: float, console: Console) -> None:
    """The stages of a point that are missing, as far as no other process is at one of them."""
    for stage in in_order(point.stages):

        def begin(stage: Stage = stage) -> None:
            console.rule(f"{point.name}: {stage.verb} {_what(stage)}", align="left")
            console.print(f"{_progress(points, root)} In {stage.folder(root)}.")

        Place(root, stage).do(since, begin)


def _state(point: Point, root: Path) -> State:
    """Of a point: that of its stages which says most."""
    states = {Place(root, stage).state for stage in in_order(point.stages)}
    return next(state for state in SAYING if state in states)


def _at_an_end(points: Sequence[Point], root: Path) -> bool:
    states = [_state(point, root) for point in points]
    return "finished" in states and set(states) <= {"finished", "failed"}


def _progress(points: Sequence[Point], root: Path) -> str:
    """How far the sweep is, and the time left by what finished stages of the same kind took."""
    finished = sum(_state(point, root) == "finished" for point in points)
    places = [Place(root, stage) for stage in in_order(stage for point in points for stage in point.stages)]
    missing = [place for place in places if not place.done]
    seconds, unknown = time_left(places)
    left = f"about {_duration(seconds)} left" if len(missing) > unknown else "time left not known yet"
    timed = f" ({unknown} of a kind not timed yet)" if 0 < unknown < len(missing) else ""
    return (
        f"{finished} of {len(points)} points done; of {len(places)} stages {len(missing)} are missing{timed}, {left}."
    )


def time_left(places: Sequence[Place]) -> tuple[float, int]:
    """Seconds that the missing stages should take, and the number of those of which nobody can say."""
    exact: dict[Hashable, list[float]] = defaultdict(list)
    alike: dict[Hashable, list[float]] = defaultdict(list)
    for place in places:
        facts = place.facts
        # A second try began from what the first had left: it tells nothing of the whole.
        if facts.get("state") == "finished" and facts["tries"] == 1:
            exact[_kind(place.stage)].append(facts["seconds"])
            alike[_kind(place.stage)[:2]].append(facts["seconds"])
    seconds, unknown = 0.0, 0
    for stage in (place.stage for place in places if not place.done):
        if times := exact.get(_kind(stage)) or alike.get(_kind(stage)[:2]):
            seconds += sum(times) / len(times)
        else:
            unknown += 1
    return seconds, unknown


def _kind(stage: Stage) -> tuple[str, str, str]:
    """What decides the time: verb, recipe, and options that are neither seeds nor of other stages."""
    ours = Stage | Within | StepsInTime
    options = {name: value for name, value in stage.options.items() if not isinstance(value, ours)}
    return stage.verb, _what(stage), str(sorted((name, str(v)) for name, v in options.items() if name not in SEEDS))


def _what(stage: Stage) -> str:
    """The recipe, or that of the run that is asked."""
    return _what(stage.of) if isinstance(stage.of, Stage) else str(stage.of)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min" if minutes else f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _table(points: Sequence[Point], root: Path) -> Table:
    """Each point with its state, its stages, and what came out or went wrong."""
    table = Table(Column("point", overflow="fold"), "state", "stages", "result")
    for point in points:
        places = [Place(root, stage) for stage in in_order(point.stages)]
        done = sum(place.done for place in places)
        table.add_row(point.name, _state(point, root), f"{done} of {len(places)}", _result(places))
    return table


def _result(places: Sequence[Place]) -> str:
    for place in places:
        if place.state == "failed":
            return f"{place.facts['sentence']} Its folder is {place.folder}."
    for folder in (place.folder for place in reversed(places)):
        for path in (folder / name for name in FILES.values()):
            if path.is_file():
                return _in_words(path)
    return ""


def _in_words(path: Path) -> str:
    """What a file of results says, or what is wrong with it: a damaged one spoils its own row of the table."""
    try:
        judged = config.read_json(path)
    except UserError as error:
        return str(error)
    return JUDGES[judged["kind"]].in_words(judged)


def _runs(points: Sequence[Point], root: Path) -> tuple[Path, ...]:
    """The folders of all runs that are finished."""
    places = [Place(root, stage) for stage in in_order(stage for point in points for stage in point.stages)]
    return tuple(place.folder for place in places if place.stage.verb in ("pretrain", "finetune") and place.done)


def _report(study: Study, points: Sequence[Point], root: Path, again: str) -> None:
    """The page about points of a study; `again` is the command that writes it anew."""
    if not (runs := _runs(points, root)):
        raise UserError(f"No run of these points is finished in {root}; without --report the command does them.")
    tables: dict[str, list[Path]] = {}
    for point in points:
        for caption in point.tables:
            tables.setdefault(caption, []).extend(stage.folder(root) for stage in point.stages)
    report_on(runs, root / "report.html", OfStudy(study.name, study.question, tables, again))
