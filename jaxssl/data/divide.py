"""One split of a store's subjects, and what a study needs within it: fewer labels, or a shift of the domain."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from jaxssl.data.cache import Progress
from jaxssl.data.splitfile import PARTS, SplitFile
from jaxssl.data.splits import Split, label_subset, split
from jaxssl.data.store import Store
from jaxssl.errors import UserError

PHASE = "phase"
"""The shift from one moment of the beat to the other."""

Values = Mapping[str, Mapping[str, str]]
"""The value of each label of each subject."""


@dataclass(frozen=True)
class Division:
    """What is asked for."""

    fractions: tuple[float, float, float] = (0.6, 0.1, 0.3)
    seed: int = 0
    by: str | None = None
    sizes: tuple[int, ...] = (10, 15, 25, 50)
    seeds: int = 3
    shifts: tuple[str, ...] = ()
    parts: Split | None = None
    """Who is in which part, where somebody has said so already; others of the store are in none."""


def values_of(store: Store, progress: Progress = lambda done, total: None) -> Values:
    """The labels of each subject; where its images differ, all their values joined by a plus."""
    found: dict[str, dict[str, set[str]]] = {}
    for number, record in enumerate(store.records()):
        of_subject = found.setdefault(record.subject, {})
        for name, value in record.labels.items():
            of_subject.setdefault(name, set()).add(value)
        progress(number + 1, len(store))
    return {who: {name: "+".join(sorted(own)) for name, own in labels.items()} for who, labels in found.items()}


def divide(store: Store, values: Values, wish: Division) -> dict[str, SplitFile]:
    """Files by name: `split` with everyone, subsets of its training subjects, and the two ways of each shift.

    Training, validation and test of a file lie within those of `split`: what was pretrained on that has seen nobody
    whom any of them tests on.
    """
    strata = _strata(store, values, wish.by)
    parts = wish.parts or split(values, wish.fractions, wish.seed, strata)
    drawn = {} if wish.parts else {"seed": wish.seed, "fractions": list(wish.fractions)}
    made = {**drawn, "strata": _counted(parts, strata, wish.by)}
    whole = SplitFile(store.info.name, store.fingerprint, parts, made=made)
    files = {"split": whole}
    for size in (size for size in sorted(set(wish.sizes)) if size <= len(parts.train)):
        for seed in range(wish.seeds):
            subset = tuple(sorted(label_subset(parts.train, size, seed, strata)))
            about = {**made, "subset": {"subjects": size, "seed": seed}}
            files[f"subset-{size}-seed{seed}"] = replace(whole, parts=replace(parts, train=subset), made=about)
    for shift in wish.shifts:
        files |= _phases(store, whole) if shift == PHASE else dict(_values(store, whole, values, shift))
    return files


def _strata(store: Store, values: Values, label: str | None) -> dict[str, str]:
    if label is None:
        return {}
    _known(store, label)
    return {who: labels[label] for who, labels in values.items() if label in labels}


def _counted(parts: Split, strata: Mapping[str, str], label: str | None) -> dict[str, dict[str, dict[str, int]]]:
    """How many of each class are in each part, for who reads the file."""
    if label is None:
        return {}
    counts = {part: Counter(strata.get(who, "unknown") for who in getattr(parts, part)) for part in PARTS}
    return {label: {part: dict(sorted(count.items())) for part, count in counts.items()}}


def _phases(store: Store, whole: SplitFile) -> dict[str, SplitFile]:
    """Training at one moment only; evaluation scores both."""
    if missing := [moment for moment in ("ED", "ES") if moment not in store.info.moments]:
        raise UserError(f"{store.path} has no {missing[0]} images, so that no shift between phases can be made of it.")
    return {f"phase-{moment}": replace(whole, moments=(moment,)) for moment in ("ED", "ES")}


def _values(store: Store, whole: SplitFile, values: Values, shift: str) -> Iterator[tuple[str, SplitFile]]:
    """Training on some values of a label, test on them and on the others; and the other way round."""
    label, _, listed = shift.partition("=")
    near = [value.strip() for value in listed.split(",") if value.strip()]
    if not near:
        raise UserError(f"--shift {shift} is none: write {PHASE}, or a label and values to train on, as vendor=A,B.")
    _known(store, label)
    all_values = {labels[label] for labels in values.values() if label in labels}
    if unknown := sorted(set(near) - all_values):
        raise UserError(f"--shift {shift}: {label} is never {unknown[0]!r}; it is {', '.join(sorted(all_values))}.")
    far = sorted(all_values - set(near))
    if not far:
        raise UserError(f"--shift {shift} names all values of {label}: leave those out that are to be tested on.")
    for own, other in ((near, far), (far, near)):
        for tested in (own, other):
            name = shift_name(label, own, tested)
            about = {**whole.made, "shift": {"label": label, "train": sorted(own), "test": sorted(tested)}}
            parts = Split(
                _having(whole.parts.train, values, label, own),
                _having(whole.parts.validation, values, label, own),
                _having(whole.parts.test, values, label, tested),
            )
            if not (parts.train and parts.test):
                raise UserError(f"--shift {shift} leaves a part of {name} empty: name more values, or add subjects.")
            yield name, replace(whole, parts=parts, made=about)


def shift_name(label: str, trained: Sequence[str], tested: Sequence[str]) -> str:
    """What the file of a shift is called."""
    name = f"{label}-{'+'.join(sorted(trained))}-to-{'+'.join(sorted(tested))}"
    return re.sub(r"[^\w.+-]+", "_", name)


def _having(subjects: Sequence[str], values: Values, label: str, wanted: Collection[str]) -> tuple[str, ...]:
    return tuple(who for who in subjects if values[who].get(label) in wanted)


def _known(store: Store, label: str) -> None:
    if label not in store.info.labels:
        known = ", ".join(store.info.labels) or "none"
        raise UserError(f"{store.path} has no label {label!r}; it has {known}.")
