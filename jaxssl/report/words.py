"""Numbers and sentences as the page writes them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence

from jaxssl.report.compare import ENOUGH, Row
from jaxssl.report.read import Run

NOTHING = "\u2013"
MINUS = "\u2212"


def fixed(value: float, digits: int = 3) -> str:
    """A value with a fixed number of decimals; a dash where there is none."""
    return f"{value:.{digits}f}".replace("-", MINUS) if math.isfinite(value) else NOTHING


def signed(value: float, digits: int = 3) -> str:
    """A difference, its sign always written."""
    return f"{value:+.{digits}f}".replace("-", MINUS) if math.isfinite(value) else NOTHING


def thousands(value: float) -> str:
    """A whole number in groups of three."""
    return f"{round(value):,}".replace(",", "\u202f") if math.isfinite(value) else NOTHING


def millions(count: int) -> str:
    """A number of parameters."""
    return f"{count / 1e6:.2f} M" if count >= 10_000 else (str(count) if count else NOTHING)


def duration(seconds: float) -> str:
    """A time to the precision a reader wants."""
    if not math.isfinite(seconds):
        return NOTHING
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def listed(words: Iterable[str]) -> str:
    """`a, b and c`, each word once."""
    kept = list(dict.fromkeys(words))
    return " and ".join(filter(None, [", ".join(kept[:-1]), *kept[-1:]]))


def rerun(run: Run) -> str:
    """The command that makes this run again, as far as the run folder tells."""
    facts = run.facts
    words = ["jaxssl", facts.verb, facts.name or facts.method, "--workdir", run.folder.as_posix()]
    command = facts.command or " ".join(shlex.quote(word) for word in words if word)
    return f"git checkout {shlex.quote(facts.commit)} && {command}" if facts.commit else command


def data_names(runs: Sequence[Run]) -> list[str]:
    """The data sets the runs name in their evaluations or, without any, in the recipes' options for data."""
    named = [run.evaluation.data for run in runs if run.evaluation]
    if not named:
        options = [value for run in runs for key, value in run.recipe.items() if key.startswith("data")]
        named = ["phantom (synthetic)"] if any("phantom" in value.lower() for value in options) else []
    return list(dict.fromkeys(named))


def is_synthetic(name: str) -> bool:
    """Whether a data set says of itself that it was made by a computer."""
    return "synthetic" in name.lower() or "phantom" in name.lower()


def headline(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """What was compared, in one sentence."""
    data = listed("the synthetic phantom" if is_synthetic(name) else name for name in data_names(runs))
    where = f" on {data}" if data else ""
    if rows:
        sizes = sorted({row.evaluation.training_subjects for row in rows})
        tests = sorted({len(row.evaluation.dice) for row in rows})
        starts = listed("a random start" if row.origin == "scratch" else _start(row) for row in rows)
        verb = "compared by" if len({row.origin for row in rows}) > 1 else "followed by"
        return (
            f"{starts[0].upper()}{starts[1:]}, {verb} segmentation after fine-tuning on "
            f"{listed(map(str, sizes))} labelled subject{'' if sizes == [1] else 's'}{where}; "
            f"{listed(map(str, tests))} test subject{'' if tests == [1] else 's'}."
        )
    kinds = listed(f"{run.facts.verb or 'run'} {run.facts.method or run.facts.name}".strip() for run in runs)
    return f"{len(runs)} run{'' if len(runs) == 1 else 's'}{where}: {kinds}."


def _start(row: Row) -> str:
    return row.origin if row.origin.startswith("weights") else f"weights from {row.origin}"


def warnings(rows: Sequence[Row]) -> list[str]:
    """What a reader of the comparison must know before believing it."""
    found = []
    few = sorted({len(row.evaluation.dice) for row in rows if len(row.evaluation.dice) < ENOUGH})
    if few:
        found.append(
            f"Only {listed(map(str, few))} test subjects: below {ENOUGH}, an interval from resampling is too narrow "
            "and a difference may well be chance."
        )
    for row in rows:
        if row.paired and row.paired.also_differs:
            found.append(
                f"{row.run.label} and its scratch run {row.paired.scratch.label} also differ in "
                f"{listed(row.paired.also_differs)}: the difference is not due to the weights alone."
            )
        if row.paired and len(row.paired.differences) < len(row.evaluation.dice):
            found.append(
                f"{row.run.label} shares {len(row.paired.differences)} of its {len(row.evaluation.dice)} test subjects "
                "with its scratch run; the difference is over those."
            )
    if any(row.paired is None and row.origin != "scratch" for row in rows):
        found.append("A run without a scratch run of the same data, labelled subjects and seed has no difference.")
    if len({row.evaluation.data for row in rows}) > 1:
        found.append("The runs were evaluated on different data: rows of different data cannot be compared.")
    if len({row.evaluation.seed for row in rows}) == 1 and len(rows) > 1:
        found.append("One seed: how much the result changes with the label subset and the start is not shown.")
    return found
