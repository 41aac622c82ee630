"""Which records make a sample. A plan is a pure function of (seed, epoch); nothing is read from images."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from jaxssl.data import draws
from jaxssl.data.cache import Cache
from jaxssl.data.columns import LABEL
from jaxssl.errors import UserError

Rows = Int64[np.ndarray, " n"]

FLAGS = {"view": "--data.views", "moment": "--data.moments"}
"""By which people choose."""


class Samples(NamedTuple):
    """Rows of a cache, one a sample, and for each kind of partner another row for each."""

    rows: Rows
    partners: Mapping[str, Rows] = MappingProxyType({})


@dataclass(frozen=True)
class Plan:
    """`draw(seed, epoch)` names the `length` samples of an epoch in their order."""

    length: int
    draw: Callable[[int, int], Samples]


def select(
    cache: Cache,
    subjects: Collection[str] | None = None,
    views: Collection[str] | None = None,
    moments: Collection[str] | None = None,
    masked: bool = False,
    labelled: str | None = None,
) -> Rows:
    """The rows of these subjects, views and moments ("ED", "ES", "" for other frames), in the order of the cache.

    `masked` keeps only images with a mask, `labelled` only those whose label of that name is known.
    """
    chosen = np.ones(len(cache), bool)
    for column, wanted in (("subject", subjects), ("view", views), ("moment", moments)):
        if wanted is not None:
            chosen &= np.isin(cache.table[column], _codes(cache, column, wanted))
    if masked:
        if not cache.table["has_mask"].any():
            raise UserError(
                f"{cache.store} has no masks, which are asked for: `jaxssl data ingest` takes them by --csv."
            )
        chosen &= cache.table["has_mask"]
    if labelled is not None:
        chosen &= label(cache, labelled) >= 0
    rows = np.flatnonzero(chosen)
    if not len(rows):
        wishes = f"views {views or 'any'}, moments {moments or 'any'}, masked {masked}, labelled {labelled}"
        raise UserError(
            f"No image of {cache.store} among the chosen subjects meets {wishes}: ask for less (no moments mean any)."
        )
    return rows


def label(cache: Cache, name: str) -> np.ndarray:
    """The column of codes of a label, -1 where unknown."""
    if LABEL + name not in cache.table:
        known = [key.removeprefix(LABEL) for key in cache.table if key.startswith(LABEL)]
        raise UserError(f"{cache.store} has no label {name!r}; it has {', '.join(known) or 'none'}.")
    return cache.table[LABEL + name]


def cines(cache: Cache) -> Int64[np.ndarray, " n"]:
    """A number for every image that those of its slice share: all frames of one slice of one study."""
    place = np.stack([cache.table[key] for key in ("study", "view", "slice")], axis=1)
    # Which shape the second has depends on the version of numpy.
    return np.unique(place, axis=0, return_inverse=True)[1].ravel()


def slices(rows: Rows) -> Plan:
    """Every image once."""
    return Plan(len(rows), lambda seed, epoch: Samples(_shuffled(rows, seed, epoch)))


def by_subject(cache: Cache, rows: Rows) -> Plan:
    """Every image once, those of a subject one after the other: a batch has several images of each of a few subjects.

    Subjects stand in a random order, and so do the images of each.
    """
    _, subject_of = np.unique(cache.table["subject"][rows], return_inverse=True)

    def draw(seed: int, epoch: int) -> Samples:
        place = draws.order(int(subject_of.max()) + 1, "order of subjects", seed, epoch)
        images = draws.order(len(rows), "epoch", seed, epoch)
        return Samples(rows[images[np.argsort(place[subject_of[images]], kind="stable")]])

    return Plan(len(rows), draw)


def one_per_subject(cache: Cache, rows: Rows) -> Plan:
    """One random image (slice and frame) of every subject."""
    pool, counts, starts = _by_subject(cache, rows)

    def draw(seed: int, epoch: int) -> Samples:
        picked = pool[starts + draws.below(counts, "image of subject", seed, epoch)]
        return Samples(_shuffled(picked, seed, epoch))

    return Plan(len(counts), draw)


def ed_es(cache: Cache, rows: Rows) -> Plan:
    """Every slice that has both once: its end-diastolic image with the end-systolic one as partner "es"."""
    both = ed_es_pairs(cache, rows)
    pairs = np.stack([both.rows, both.partners["es"]], axis=1)

    def draw(seed: int, epoch: int) -> Samples:
        mixed = _shuffled(pairs, seed, epoch)
        return Samples(mixed[:, 0], {"es": mixed[:, 1]})

    return Plan(len(pairs), draw)


def ed_es_pairs(cache: Cache, rows: Rows) -> Samples:
    """The same samples in the order of the cache."""
    pairs: dict[tuple[int, ...], dict[str, int]] = {}
    for row in rows:
        place = tuple(int(cache.table[key][row]) for key in ("study", "view", "slice"))
        pairs.setdefault(place, {})[cache.names["moment"][cache.table["moment"][row]]] = int(row)
    both = np.array([(pair["ED"], pair["ES"]) for pair in pairs.values() if {"ED", "ES"} <= pair.keys()], np.int64)
    if not len(both):
        raise UserError(f"No slice of {cache.store} has an ED and an ES image among those chosen: choose another plan.")
    return Samples(both[:, 0], {"es": both[:, 1]})


def other_subject(cache: Cache, plan: Plan, training: Rows) -> Plan:
    """The samples of `plan`, each with a random image of a random other subject of the training part as "subject"."""
    pool, counts, starts = _by_subject(cache, training)
    subjects = cache.table["subject"][pool[starts]]
    if len(subjects) < 2:
        raise UserError("A partner from another subject needs at least two training subjects: add one.")

    def partners(rows: Rows, seed: int, epoch: int) -> Rows:
        own = np.searchsorted(subjects, cache.table["subject"][rows])
        known = subjects[np.minimum(own, len(subjects) - 1)] == cache.table["subject"][rows]
        # Draw among the others by leaving the subject's own place out; one from outside the pool leaves nothing out.
        other = draws.below(len(subjects) - known, "other subject", seed, epoch)
        other += known & (other >= own)
        return pool[starts[other] + draws.below(counts[other], "image of partner", seed, epoch)]

    return _with_partners(plan, "subject", partners)


def other_phase(cache: Cache, plan: Plan, training: Rows) -> Plan:
    """The samples of `plan`, which are of `training`, each with a random other image of its slice as "phase".

    A slice that has a single image there is its own partner.
    """
    _, slice_of, counts = np.unique(cines(cache)[training], return_inverse=True, return_counts=True)
    if counts.max() < 2:
        raise UserError(f"No slice of {cache.store} has two images to learn from: leave phase out of data.partners.")
    pool, starts = np.argsort(slice_of, kind="stable"), np.cumsum(counts) - counts
    number_in_slice = np.empty_like(pool)
    number_in_slice[pool] = np.arange(len(pool)) - np.repeat(starts, counts)

    def partners(rows: Rows, seed: int, epoch: int) -> Rows:
        own = np.searchsorted(training, rows)
        count, start = counts[slice_of[own]], starts[slice_of[own]]
        later = 1 + draws.below(np.maximum(count - 1, 1), "other phase", seed, epoch)
        return training[pool[start + (number_in_slice[own] + later) % count]]

    return _with_partners(plan, "phase", partners)


def _with_partners(plan: Plan, kind: str, partners: Callable[[Rows, int, int], Rows]) -> Plan:
    def draw(seed: int, epoch: int) -> Samples:
        samples = plan.draw(seed, epoch)
        return Samples(samples.rows, {**samples.partners, kind: partners(samples.rows, seed, epoch)})

    return Plan(plan.length, draw)


def _shuffled(rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    return rows[draws.order(len(rows), "epoch", seed, epoch)]


def _by_subject(cache: Cache, rows: Rows) -> tuple[Rows, np.ndarray, np.ndarray]:
    """The rows sorted by subject, and for each subject how many there are and where they start."""
    subject = cache.table["subject"][rows]
    pool = rows[np.argsort(subject, kind="stable")]
    _, starts, counts = np.unique(np.sort(subject), return_index=True, return_counts=True)
    return pool, counts, starts


def _codes(cache: Cache, column: str, wanted: Collection[str]) -> list[int]:
    names = cache.names[column]
    for name in wanted:
        if name not in names:
            shown = ", ".join(repr(n) for n in names[:20]) + (f", and {len(names) - 20} more" if names[20:] else "")
            flag = f": choose by {FLAGS[column]}" if column in FLAGS else ""
            raise UserError(f"{cache.store} has no {column} {name!r}; it has {shown}{flag}.")
    return [names.index(name) for name in wanted]
