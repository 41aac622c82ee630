"""Who is trained on, validated on, tested on: always whole subjects, never images."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from jaxssl.data import draws
from jaxssl.errors import UserError


@dataclass(frozen=True)
class Split:
    """Names of subjects; nobody is in two parts."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self):
        part_of: dict[str, str] = {}
        for part, subjects in asdict(self).items():
            for subject in subjects:
                if part_of.setdefault(subject, part) != part:
                    raise UserError(f"Subject {subject!r} is in {part_of[subject]} and in {part}: put it in one.")


def split(
    subjects: Iterable[str],
    fractions: tuple[float, float, float] = (0.6, 0.1, 0.3),
    seed: int = 0,
    strata: Mapping[str, str] | None = None,
) -> Split:
    """Divide subjects at random, in any order given the same way.

    With `strata` (a class for each subject, missing ones being a class of their own) each class is divided in the same
    proportions: training and test have theirs of each class to within one and a half, validation to within two, as they
    have themselves of all subjects to within one. A part asked for is never empty.
    """
    names = sorted(set(subjects))
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(f"The parts of a split, {fractions}, are not fractions that add up to 1.")
    mixed = _spread(names, strata or {}, "split", seed)
    cuts = np.rint(np.cumsum(fractions) * len(names)).astype(int)
    parts = [tuple(sorted(mixed[a:b])) for a, b in zip([0, *cuts[:2]], cuts, strict=True)]
    for part, fraction, name in zip(parts, fractions, ("train", "validation", "test"), strict=True):
        if fraction > 0 and not part:
            enough = len(names) >= sum(fraction > 0 for fraction in fractions)
            more = (
                ", or give that part more by --data.fractions (of `jaxssl data split`: --fractions)" if enough else ""
            )
            raise UserError(
                f"{len(names)} subjects are too few for {fractions}: the {name} part is empty; add subjects{more}."
            )
    return Split(*parts)


def label_subset(
    train_subjects: Iterable[str], n: int, seed: int, strata: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """`n` subjects whose labels may be used; those for a smaller `n` and the same seed are among them.

    With `strata` each class has its share of them to within one.
    """
    names = sorted(set(train_subjects))
    if not 0 < n <= len(names):
        raise UserError(f"{n} labelled subjects were asked for of {len(names)} in training: ask for 1 to {len(names)}.")
    return tuple(_spread(names, strata or {}, "label subset", seed)[:n])


def _spread(names: list[str], strata: Mapping[str, str], purpose: str, seed: int) -> list[str]:
    """A random order of which any beginning has each class in its proportion to within one.

    The quota method of Balinski and Young: the next subject is of the class with the most subjects for each that it
    would then have, of those classes that have not yet reached their share.
    """
    mixed = [names[i] for i in draws.order(len(names), purpose, seed)]
    members: dict[str, list[str]] = {}
    for name in mixed:
        members.setdefault(strata.get(name, ""), []).append(name)
    taken, spread = dict.fromkeys(members, 0), []
    for place in range(1, len(mixed) + 1):
        short = [kind for kind in members if taken[kind] * len(mixed) < place * len(members[kind])]
        kind = max(short, key=lambda kind: len(members[kind]) / (taken[kind] + 1))
        spread.append(members[kind][taken[kind]])
        taken[kind] += 1
    return spread
