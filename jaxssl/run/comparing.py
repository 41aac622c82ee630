"""What `bench loss`, `bench augment` and `bench step --against` share: one table, line and figure."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jaxssl.bench.compare import refuse_unlike, summed_up
from jaxssl.bench.figure import readable
from jaxssl.bench.sides import OURS, Against, Process, Side, by_turns, check_torch, running
from jaxssl.bench.sides_figure import draw_sides, small
from jaxssl.errors import UserError
from jaxssl.files import beside, can_be_made, put_text
from jaxssl.workdir import commit

Check = Callable[[Mapping[str, Process]], str | None]
"""Asks the sides for results; why they are not the same, if they are not."""


def check_turns(against: Against, rounds: int, seconds: float, out: Path, compiles: bool = False) -> None:
    """Refuse what is no turn, and a comparison that cannot be made, or not be told in `out`."""
    if rounds < 1 or not seconds > 0:
        raise UserError(f"--rounds must be at least 1 and --seconds above 0, not {rounds} and {seconds}.")
    if not can_be_made(out):
        raise UserError(f"{out} cannot be written; choose another --out.")
    if against.against == "torch.compile" and not compiles:
        raise UserError("--against torch.compile is for bench step alone; say --against torch.")
    if against.against:
        check_torch(against.python)


def compared(
    sides: list[Side], check: Check, threads: int | None, rounds: int, seconds: float, console: Console, work: float = 1
) -> dict[str, Any]:
    """What each side took for one of the `work` pieces that it does at a time; what is not the same is not timed."""
    with running(sides, threads) as processes:
        with console.status("comparing results"):
            facts = {name: process.facts for name, process in processes.items()}
            differences = [refuse_unlike(facts[OURS], own) for own in facts.values()] + [check(processes)]
            if found := [each for each in differences if each]:
                raise UserError(f"The sides do not do the same, so none is timed: {found[0]}; this is ours to mend.")
        with console.status("running"):
            timed = {name: process.turn for name, process in processes.items()}
            summary = summed_up(by_turns(timed, rounds, seconds), work)
    return {"sides": {name: {**own, **facts[name]} for name, own in summary.items()}, "commit": commit()}


def tell(record: Mapping[str, Any], what: str, title: str, out: Path, name: str, console: Console) -> None:
    """The table on the terminal, the line and the figure in the folder."""
    console.print(_table(record["sides"], title, what))
    rates = [f"{_rate(own['wall'])} by {name}" for name, own in record["sides"].items()]
    console.print(f"In a second {'; '.join(rates)}.")
    out.mkdir(parents=True, exist_ok=True)
    put_text(out / f"{name}.jsonl", json.dumps(record) + "\n")
    with beside(out / f"{name}.png") as unfinished:
        draw_sides(record["sides"], title, what).savefig(unfinished, dpi=150)
    if compiling := record["sides"][OURS].get("compiling"):
        console.print(f"To compile, jaxssl took {readable(compiling, 'B')} more, once.")
    console.print(f"{out / f'{name}.jsonl'} and {name}.png are written.")


def _table(sides: Mapping[str, Mapping[str, Any]], title: str, what: str) -> Table:
    """A column a side."""
    table = Table("", title=title, caption=f"For {what}, by the median of the rounds; times are those of jaxssl.")
    for name in sides:
        table.add_column(name, justify="right")
    for kind, shown in {"cpu": small, "wall": small, "memory": _bytes}.items():
        heading = "memory above idle" if kind == "memory" else f"{kind.replace('cpu', 'CPU')} time"
        table.add_row(heading, *(shown(own[kind]) for own in sides.values()))
        if kind != "memory":
            spreads = [f"{shown(own[f'{kind}_least'])} to {shown(own[f'{kind}_most'])}" for own in sides.values()]
            table.add_row("  least to most", *spreads)
        if len(sides) > 1:
            ratios = [own[f"{kind}_ratio"] for own in sides.values()]
            table.add_row("  times", *("" if each is None else f"{each:.3g}" for each in ratios), end_section=True)
    return table


def _bytes(count: int | None) -> str:
    return "not counted" if count is None else readable(count, "B")


def _rate(seconds: float) -> str:
    return f"{1 / seconds:,.0f}" if seconds < 0.1 else f"{1 / seconds:.3g}"
