"""Batches as a pure function of (seed, t), gathered from memory maps by grain's threads.

An epoch of a plan's n samples gives n // batch batches; what is left over is dropped, another remainder every epoch. So
all samples of a batch are of one epoch and none is in it twice, which for a contrastive loss would be a false negative.
"""

import functools
from collections.abc import Mapping
from typing import Any

import grain
import numpy as np

from jaxssl.data.cache import Cache
from jaxssl.data.columns import FIELDS
from jaxssl.data.plan import Plan, Samples, label
from jaxssl.errors import UserError

ENDLESS = 2**40
"""Batches of a run that has no end of its own."""

PREFETCH = 4
"""Batches made ahead of their use."""

COLUMNS = ("subject", "study", "view", "mean", "std", "position", "phase", "spacing")


def batches(
    cache: Cache,
    plan: Plan,
    *,
    batch: int,
    seed: int,
    start: int = 0,
    steps: int | None = None,
    target: str | None = None,
    masks: bool = False,
    planes: bool = False,
    pixels: bool = True,
    places: np.ndarray | None = None,
    threads: int = 2,
) -> grain.DatasetIterator:
    """Batches start, start + 1, ... (`steps` of them, or without end), each a dict of numpy arrays.

    `target` names the label delivered as `label`; `masks` and `planes` ask for the masks and the planes of the study.
    Without `pixels` images and masks are left out: whoever has them finds them by `id`. `places` in the batch are all
    that is gathered, as a process does that shares the batch with others.
    The only state of the iterator is t; grain's own counts batches since `start`.
    """
    if masks and cache.masks is None:
        raise UserError(f"{cache.path} has no masks: choose a store that has, or a method that needs none.")
    gather = Gather(cache, target, masks, planes, pixels)
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
        """Rows, and partners where the plan has them, [batch] each."""
        epoch, place = divmod(t, self.per_epoch)
        rows, partners = self._draw(epoch)
        here = slice(place * self.batch, (place + 1) * self.batch)
        return Samples(rows[here], None if partners is None else partners[here])


class Gather:
    """Rows into the arrays that a method sees."""

    def __init__(self, cache: Cache, target: str | None, masks: bool, planes: bool, pixels: bool = True):
        self._images, self._masks, self._pixels = cache.images, cache.masks if masks else None, pixels
        self._has_mask, self._study = cache.table["has_mask"], cache.table["study"]
        labels = np.full(len(cache), -1) if target is None else label(cache, target)
        self._columns = _narrow({**{key: cache.table[key] for key in COLUMNS}, "label": labels})
        self._plane = _narrow({key: cache.table[key] for key in FIELDS})
        self._planes = _narrow(cache.planes) if planes else None

    def __call__(self, samples: Samples, mine: np.ndarray) -> dict[str, Any]:
        """The samples of a batch at the places `mine`."""
        place = mine.astype(np.int32)
        result = {**self._fields(samples.rows[mine]), "place": place}
        if samples.partners is not None:
            result["partner"] = {**self._fields(samples.partners[mine]), "place": place}
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
        if self._planes is not None:
            fields["planes"] = _take(self._planes, self._study[rows])
        return fields


def _take(columns: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {key: column[rows] for key, column in columns.items()}


def _narrow(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """To the 32 bits that devices work in."""
    kinds = {"f": np.float32, "i": np.int32, "b": np.bool_}
    return {key: column.astype(kinds[column.dtype.kind]) for key, column in columns.items()}
