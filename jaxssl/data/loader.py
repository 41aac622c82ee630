"""Batches as a pure function of (seed, t), gathered from memory maps by grain's threads.

An epoch of a plan's n samples gives n // batch batches; what is left over is dropped, another remainder every epoch. So
all samples of a batch are of one epoch and none is in it twice, which for a contrastive loss would be a false negative.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import numpy as np

from jaxssl.data.cache import Cache
from jaxssl.data.columns import FIELDS
from jaxssl.data.guests import guests_of
from jaxssl.data.plan import Plan, Samples, cines
from jaxssl.errors import UserError

ENDLESS = 2**40
"""Batches of a run that has no end of its own."""

PREFETCH = 4
"""Batches made ahead of their use."""

COLUMNS = ("subject", "study", "view", "cine", "mean", "std", "position", "phase", "spacing")


def batches(
    cache: Cache,
    plan: Plan,
    *,
    batch: int,
    seed: int,
    start: int = 0,
    steps: int | None = None,
    labels: np.ndarray | None = None,
    masks: bool = False,
    guests: Sequence[str] = (),
    pixels: bool = True,
    places: np.ndarray | None = None,
    threads: int = 2,
) -> grain.DatasetIterator:
    """Batches start, start + 1, ... (`steps` of them, or without end), each a dict of numpy arrays.

    `labels` has a code for every row of the cache, delivered as `label`; `masks` asks for the masks, and `guests` names
    the views of which each image's study lends a plane.
    Without `pixels` images and masks are left out: whoever has them finds them by `id`. `places` in the batch are all
    that is gathered, as a process does that shares the batch with others.
    The only state of the iterator is t; grain's own counts batches since `start`.
    """
    if masks and cache.masks is None:
        raise UserError(f"{cache.store} has no masks: choose a store that has, or a method that needs none.")
    gather = Gather(cache, labels, masks, guests, pixels)
    schedule = Schedule(plan, batch, seed)
    mine = np.arange(batch) if places is None else places

    def element(t: int) -> dict[str, Any]:
        return gather(schedule(t), mine)

    indices = grain.MapDataset.range(start, start + (ENDLESS if steps is None else steps))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(threads, PREFETCH) if threads else 0)
    return iter(indices.map(element).to_iter_dataset(options))


def steps_per_epoch(plan: Plan, batch: int) -> int:
    """Whole batches of an epoch."""
    if batch > plan.length:
        raise UserError(
            f"A batch of {batch} is larger than the {plan.length} samples of an epoch: lower it to at most "
            f"{plan.length}, or add data."
        )
    return plan.length // batch


class Schedule:
    """The list of samples of global batch t."""

    def __init__(self, plan: Plan, batch: int, seed: int):
        self.batch, self.per_epoch = batch, steps_per_epoch(plan, batch)
        # A draw costs O(length) and serves all batches of its epoch; threads may work on two epochs at once.
        self._draw = functools.lru_cache(maxsize=2)(lambda epoch: plan.draw(seed, epoch))

    def __call__(self, t: int) -> Samples:
        """Rows, and partners of each kind that the plan has, [batch] each."""
        epoch, place = divmod(t, self.per_epoch)
        rows, partners = self._draw(epoch)
        here = slice(place * self.batch, (place + 1) * self.batch)
        return Samples(rows[here], {kind: others[here] for kind, others in partners.items()})


class Gather:
    """Rows into the arrays that a method sees."""

    def __init__(
        self,
        cache: Cache,
        labels: np.ndarray | None = None,
        masks: bool = False,
        guests: Sequence[str] = (),
        pixels: bool = True,
    ):
        self._images, self._masks, self._pixels = cache.images, cache.masks if masks else None, pixels
        self._has_mask, self._study = cache.table["has_mask"], cache.table["study"]
        codes = np.full(len(cache), -1) if labels is None else labels
        columns = {**cache.table, "cine": cines(cache), "label": codes}
        # Views are drawn in mm. Where nobody knows how long these are, the image was fitted into the layout.
        spacing = columns["spacing"]
        columns["spacing"] = np.where(np.isfinite(spacing), spacing, cache.layout.spacing or 1.0)
        self._columns = _narrow({key: columns[key] for key in (*COLUMNS, "label")})
        self._plane = _narrow({key: cache.table[key] for key in FIELDS})
        self._guests = _narrow(guests_of(cache, guests)) if guests else None

    def __call__(self, samples: Samples, mine: np.ndarray) -> dict[str, Any]:
        """The samples of a batch at the places `mine`."""
        place = mine.astype(np.int32)
        result = {**self._fields(samples.rows[mine]), "place": place}
        if samples.partners:
            result["partners"] = {
                kind: {**self._fields(rows[mine]), "place": place} for kind, rows in samples.partners.items()
            }
        return result

    def _fields(self, rows: np.ndarray) -> dict[str, Any]:
        fields: dict[str, Any] = {"id": rows.astype(np.int32)}
        fields |= _take(self._columns, rows)
        fields["plane"] = _take(self._plane, rows)
        if self._masks is not None and not self._has_mask[rows].all():
            raise UserError("A batch with masks has an image without one: select(..., masked=True) for its plan.")
        if self._pixels:
            fields["image"] = self._images[rows]
            if self._masks is not None:
                fields["mask"] = self._masks[rows]
        if self._guests is not None:
            fields["guests"] = _take(self._guests, self._study[rows])
        return fields


def _take(columns: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {key: column[rows] for key, column in columns.items()}


def _narrow(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """To the 32 bits that devices work in."""
    kinds = {"f": np.float32, "i": np.int32, "b": np.bool_}
    return {key: column.astype(kinds[column.dtype.kind]) for key, column in columns.items()}
