"""What a run is fed: batches of its training subjects, from the host or from the devices' own memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from jax.sharding import Mesh

from jaxssl.data import loader
from jaxssl.data.plan import Plan
from jaxssl.data.source import Source
from jaxssl.methods.base import Batch
from jaxssl.train import resident
from jaxssl.train.loop import Train
from jaxssl.train.mesh import by_sample, own_places
from jaxssl.train.resident import Resident


@dataclass(frozen=True, eq=False)
class Feed:
    """The training images of a source, in the batches of a recipe."""

    source: Source
    train: Train

    @cached_property
    def plan(self) -> Plan:
        return self.source.training_plan()

    @property
    def steps_per_epoch(self) -> int:
        return loader.steps_per_epoch(self.plan, self.train.batch)

    def batches(self, start: int, mesh: Mesh, pixels: bool) -> Iterator[Batch]:
        """This process's part of batch `start` and those after it; without pixels where those are resident."""
        return self._gathered(start, own_places(mesh, self.train.batch), pixels)

    def first(self, count: int) -> Batch:
        """The first samples of the first batch, as many as it has."""
        return next(self._gathered(0, np.arange(min(count, self.train.batch)), True))

    def abstract(self, mesh: Mesh) -> Batch:
        """Shapes, types and shardings of a whole batch."""
        size, spread = self.train.batch, by_sample(mesh)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype, sharding=spread), self.first(1)
        )

    def resident(self, mesh: Mesh, warn: Callable[[str], None]) -> Resident | None:
        """The images on the devices, where that is wanted and they fit."""
        if not self.source.options.resident:
            return None
        rows = self.source.rows(self.source.training_subjects)
        images, masks = self.source.cache.images, self.source.cache.masks if self.source.options.masks else None
        if reason := resident.too_large(mesh, rows, images, masks):
            warn(reason)
            return None
        return resident.put_images(mesh, rows, images, masks)

    def _gathered(self, start: int, places: np.ndarray, pixels: bool) -> Iterator[Batch]:
        options = self.source.options
        return loader.batches(
            self.source.cache,
            self.plan,
            batch=self.train.batch,
            seed=self.train.seed,
            start=start,
            labels=self.source.labels.codes,
            masks=options.masks,
            guests=options.guests,
            places=places,
            pixels=pixels,
        )
