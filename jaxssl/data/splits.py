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

    With `strata` (a class for each subject, missing ones being a class of their own) each class is divided in about the
    same proportions. Each part has its share of all subjects to within one, and a part asked for is never empty.
    """
    names = sorted(set(subjects))
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(f"The parts of a split, {fractions}, are not fractions that add up to 1.")
    mixed = _spread(names, strata or {}, seed)
    cuts = np.rint(np.cumsum(fractions) * len(names)).astype(int)
    parts = [tuple(sorted(mixed[a:b])) for a, b in zip([0, *cuts[:2]], cuts, strict=True)]
    for part, fraction, name in zip(parts, fractions, ("train", "validation", "test"), strict=True):
        if fraction > 0 and not part:
            raise UserError(
                f"{len(names)} subjects are too few for {fractions}: the {name} part is empty; add subjects."
            )
    return Split(*parts)


def label_subset(train_subjects: Iterable[str], n: int, seed: int) -> tuple[str, ...]:
    """`n` subjects whose labels may be used; those for a smaller `n` and the same seed are among them."""
    names = sorted(set(train_subjects))
    if not 0 < n <= len(names):
        raise UserError(f"{n} labelled subjects were asked for of {len(names)} in training: ask for 1 to {len(names)}.")
    return tuple(names[i] for i in draws.order(len(names), "label subset", seed)[:n])


def _spread(names: list[str], strata: Mapping[str, str], seed: int) -> list[str]:
    """A random order in which any run of subjects has each class in about its proportion.

    The i-th of the n subjects of a class gets the place (i + u) / n, u drawn once a class.
    """
    mixed = [names[i] for i in draws.order(len(names), "split", seed)]
    classes = {name: strata.get(name, "") for name in mixed}
    kinds = sorted(set(classes.values()))
    shifts = draws.words(len(kinds), "strata", seed) / 2.0**64
    places = {}
    for kind, shift in zip(kinds, shifts, strict=True):
        members = [name for name in mixed if classes[name] == kind]
        places |= {name: (i + shift) / len(members) for i, name in enumerate(members)}
    return sorted(mixed, key=places.__getitem__)
