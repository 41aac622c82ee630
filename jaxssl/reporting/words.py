"""Numbers and sentences as the page writes them."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence

from jaxssl.evaluate.statistics import ENOUGH, Estimate
from jaxssl.reporting.arms import SCRATCH, Arm, Paired
from jaxssl.reporting.read import Run
from jaxssl.reporting.scores import CANNOT

NOTHING = "\u2013"
MINUS = "\u2212"
NAMED = 4
"""Differences that the sentence about the outcome gives one by one."""

REPEATED = ("data.store", "data.subjects", "data.subset_seed", "train.seed", "init.run", "init.weights")
"""Options that tell the runs of one recipe apart, and so are written out in the command that repeats a run."""


def fixed(value: float, digits: int = 3) -> str:
    """A value with a fixed number of decimals; a dash where there is none."""
    return f"{value:.{digits}f}".replace("-", MINUS) if math.isfinite(value) else NOTHING


def signed(value: float, digits: int = 3) -> str:
    """A difference, its sign always written."""
    return f"{value:+.{digits}f}".replace("-", MINUS) if math.isfinite(value) else NOTHING


def interval(estimate: Estimate, digits: int = 3) -> str:
    """The ends of an interval; nothing where there is none."""
    low, high = estimate.interval
    return f"{fixed(low, digits)} to {fixed(high, digits)}" if math.isfinite(low) else ""


def chance(p: float) -> str:
    """A p value to the precision that it has."""
    if not math.isfinite(p):
        return NOTHING
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


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
    if command.endswith("--on validation") and run.judged is not None and run.judged.task.on == "test":
        command += f" && jaxssl evaluate {_workdir(command) or shlex.quote(run.folder.as_posix())}"
    source = facts.commit.removesuffix("-dirty")
    return command if not source or source.startswith("release") else f"git checkout {shlex.quote(source)} && {command}"


def _workdir(command: str) -> str:
    """The folder that a command names, as it names it."""
    found = re.search(r"--workdir (\S+|'[^']+')", command)
    return found[1] if found else ""


def again(runs: Sequence[Run]) -> str:
    """The command that writes such a page again."""
    return shlex.join(["jaxssl", "report", *(run.folder.as_posix() for run in runs)])


def rerun_caution(run: Run) -> str:
    """Why the command may not be enough."""
    if run.facts.commit.endswith("-dirty"):
        return "The source had changes that were not committed: this commit alone does not make the run again."
    return "" if run.facts.command else "Flags beyond these, if any were given, are in the recipe."


def data_names(runs: Sequence[Run]) -> list[str]:
    """The data sets that the runs name."""
    named = [run.judged.task.data if run.judged else run.facts.data for run in runs]
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


def headline(runs: Sequence[Run], arms: Sequence[Arm]) -> str:
    """What was compared, in one sentence."""
    data = listed("the synthetic phantom" if is_synthetic(name) else name for name in data_names(runs))
    of_data = f" of {data}" if data else ""
    if not arms:
        kinds = listed(f"{run.facts.verb or 'run'} {run.facts.method or run.facts.name}".strip() for run in runs)
        return f"{_counts([len(runs)], 'run')}{f' on {data}' if data else ''}: {kinds}."
    labelled = sorted({arm.task.training_subjects for arm in arms})
    tested = [
        _counts(sorted({len(arm.subjects) for arm in arms if arm.task.on == part}), f"{part} subject")
        for part in dict.fromkeys(arm.task.on for arm in arms)
    ]
    return (
        f"{_starts(arms)} {listed(arm.task.kind for arm in arms)} after fine-tuning on "
        f"{_counts(labelled, 'labelled subject')}{of_data}, measured on {listed(tested)}."
    )


def _starts(arms: Sequence[Arm]) -> str:
    origins = [arm.origin.partition(" (run ")[0] for arm in arms if arm.origin != SCRATCH]
    pretrained = listed(name.partition(" shown ")[0] for name in origins)
    if not pretrained:
        return "A random start:"
    against = " against a random start:" if any(arm.origin == SCRATCH for arm in arms) else ":"
    return f"Pretraining with {pretrained}{against}"


def _counts(numbers: Sequence[int], thing: str) -> str:
    return f"{listed(map(str, numbers))} {thing}{'' if list(numbers) == [1] else 's'}"


def outcome(arms: Sequence[Arm]) -> str:
    """What came out, measure by measure: the differences from scratch, or of many their range, and which are shown."""
    groups: dict[str, list[tuple[str, Paired]]] = {}
    for arm in arms:
        if arm.paired is not None and math.isfinite(arm.paired.estimate.value):
            name = f"{arm.task.measure} of {arm.task.on} subjects"
            groups.setdefault(name, []).append((arm.label, arm.paired))
    return " ".join(_came_out(measure, found) for measure, found in groups.items())


def _came_out(measure: str, found: Sequence[tuple[str, Paired]]) -> str:
    values = [own.estimate.value for _, own in found]
    each = [f"{label} {signed(value)}" for (label, _), value in zip(found, values, strict=True)]
    many = f"{len(found)} differences from {signed(min(values))} to {signed(max(values))}"
    shown = listed(said for said, (_, own) in zip(each, found, strict=True) if _shown(own)) or "none"
    by = "a corrected p below .05 and an interval without 0"
    return f"{measure} against scratch: {listed(each) if len(each) <= NAMED else many}. Shown by {by}: {shown}."


def _shown(found: Paired) -> bool:
    low, high = found.estimate.interval
    return found.adjusted < 0.05 and (low > 0 or high < 0)


def warnings(arms: Sequence[Arm]) -> list[str]:
    """What a reader of the comparison must know before believing it."""
    found = []
    if any(":tiny" in run.facts.name for arm in arms for run in arm.runs):
        found.append("Recipes called tiny are for tests, a few steps of a tiny network: figures show that they run.")
    few = sorted({len(arm.subjects) for arm in arms if len(arm.subjects) < ENOUGH})
    if few:
        found.append(
            f"Only {_counts(few, 'subject')}: below {ENOUGH}, an interval is too narrow and a difference may "
            "well be chance."
        )
    if few and few[0] < CANNOT:
        found.append(
            f"With {_counts(few[:1], 'subject')} no p can fall below {2 / 2 ** few[0]:.3g}, whatever they show."
        )
    if any(arm.task.on != "test" for arm in arms):
        found.append("Some arms were measured on validation subjects, by which choices are made: that is no result.")
    for arm in arms:
        found += _of_arm(arm)
    if any(arm.paired is None and arm.origin != SCRATCH for arm in arms):
        found.append("An arm without one from scratch of the same data, labelled subjects and seed has no difference.")
    if len({arm.task.data for arm in arms}) > 1:
        found.append("The runs were evaluated on different data: rows of different data cannot be compared.")
    if arms and all(len(set(arm.repeats)) == 1 for arm in arms):
        found.append("One seed an arm: how much a result changes with the label subset and the start is not shown.")
    return found


def _of_arm(arm: Arm) -> list[str]:
    found = []
    if arm.openings > 1:
        found.append(
            f"{arm.label} is opening {arm.openings} of its test subjects: they had answered the same question of "
            "another recipe before, so that its figures may have been chosen by them. The first opening counts."
        )
    if arm.uncounted:
        found.append(
            f"Nobody counts how often the test subjects of {arm.label} were asked, as their store cannot be written "
            "to: it may not be the first time."
        )
    paired = arm.paired
    if paired and paired.also_differs:
        found.append(
            f"{arm.label} and its scratch arm {paired.scratch.label} also differ in {listed(paired.also_differs)}: "
            "the difference is not due to the weights alone."
        )
    if paired and len(paired.repeats) < len(set(arm.repeats)):
        found.append(
            f"{arm.label} shares {len(paired.repeats)} of its {len(set(arm.repeats))} label subsets and seeds with its "
            "scratch arm; the difference is over those."
        )
    if paired and 0 < len(paired.differences) < len(arm.subjects):
        found.append(
            f"{arm.label} shares {len(paired.differences)} of its {len(arm.subjects)} subjects with its scratch arm; "
            "the difference is over those."
        )
    return found
