"""Numbers and sentences as the page writes them."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence

from jaxssl.reporting.compare import ENOUGH, Row
from jaxssl.reporting.read import Run

NOTHING = "\u2013"
MINUS = "\u2212"

REPEATED = ("data.store", "data.subjects", "data.subset_seed", "train.seed", "init.run", "init.weights")
"""Options that tell the runs of one recipe apart, and so are written out in the command that repeats a run."""


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


def commit(run: Run) -> str:
    """The commit in the length that a table has room for; what is said of changed files is kept."""
    text = run.facts.commit
    return text[:10] if re.fullmatch("[0-9a-f]{11,}", text) else text or "unknown"


def rerun(run: Run) -> str:
    """The command that makes this run again, as far as the run folder tells."""
    facts = run.facts
    words = ["jaxssl", facts.verb, facts.name or facts.method]
    for key in REPEATED:
        if (value := run.recipe.get(key, "null")) != "null":
            words += [f"--{key}", value]
    words += ["--workdir", run.folder.as_posix()]
    command = facts.command or " ".join(shlex.quote(word) for word in words if word)
    source = facts.commit.removesuffix("-dirty")
    return command if not source or source.startswith("release") else f"git checkout {shlex.quote(source)} && {command}"


def rerun_caution(run: Run) -> str:
    """Why the command may not be enough."""
    if run.facts.commit.endswith("-dirty"):
        return "The source had changes that were not committed: this commit alone does not make the run again."
    return "" if run.facts.command else "Flags beyond these, if any were given, are in the recipe."


def data_names(runs: Sequence[Run]) -> list[str]:
    """The data sets that the runs name."""
    named = [run.evaluation.data if run.evaluation else run.facts.data for run in runs]
    stores = [run.recipe["data.store"] for run in runs if "data.store" in run.recipe]
    return list(dict.fromkeys([name for name in named if name] or stores))


def is_synthetic(name: str) -> bool:
    """Whether a data set says of itself that it was made by a computer."""
    return "synthetic" in name.lower() or "phantom" in name.lower()


def described(run: Run, origin: str) -> str:
    """What a legend adds to a run's name."""
    if run.facts.init or run.facts.verb == "finetune":
        return f"from {origin}"
    method = run.facts.method or run.facts.name
    return method if method != run.label else ""


def headline(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """What was compared, in one sentence."""
    data = listed("the synthetic phantom" if is_synthetic(name) else name for name in data_names(runs))
    of_data = f" of {data}" if data else ""
    if not rows:
        kinds = listed(f"{run.facts.verb or 'run'} {run.facts.method or run.facts.name}".strip() for run in runs)
        return f"{_counts([len(runs)], 'run')}{f' on {data}' if data else ''}: {kinds}."
    labelled = sorted({row.evaluation.training_subjects for row in rows})
    tested = sorted({len(row.evaluation.dice) for row in rows})
    return (
        f"{_starts(rows)} segmentation after fine-tuning on {_counts(labelled, 'labelled subject')}{of_data}, "
        f"measured on {_counts(tested, 'test subject')}."
    )


def _starts(rows: Sequence[Row]) -> str:
    pretrained = listed(row.origin.partition(" (run ")[0] for row in rows if row.origin != "scratch")
    if not pretrained:
        return "A random start:"
    against = " against a random start:" if any(row.origin == "scratch" for row in rows) else ":"
    return f"Pretraining with {pretrained}{against}"


def _counts(numbers: Sequence[int], thing: str) -> str:
    return f"{listed(map(str, numbers))} {thing}{'' if list(numbers) == [1] else 's'}"


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
    if len({(row.evaluation.seed, row.evaluation.subset_seed) for row in rows}) == 1 and len(rows) > 1:
        found.append("One seed: how much the result changes with the label subset and the start is not shown.")
    return found
