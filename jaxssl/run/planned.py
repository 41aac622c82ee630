"""A recipe on devices that are not there: its numbers, and the switches that would change them."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from math import gcd
from typing import Any

import jax
from jax.sharding import Mesh

from jaxssl import config
from jaxssl.bench.batch import abstract_batch
from jaxssl.bench.chips import Chip
from jaxssl.bench.plan import (
    Memory,
    Time,
    Training,
    carried,
    compute_seconds,
    exchange_seconds,
    image_bytes,
    in_groups,
    memory_of,
    model_flops,
    planned_mesh,
    step_products,
)
from jaxssl.bench.program import Collective
from jaxssl.bench.scale import of_step
from jaxssl.errors import UserError
from jaxssl.recipe import Recipe
from jaxssl.run.workbench import method_of, without_remat
from jaxssl.train.mesh import check_divisible, make_mesh
from jaxssl.train.optim import make_optimiser
from jaxssl.train.resident import SHARE
from jaxssl.train.step import Schedule

SIMULATED = (4, 8)
"""Devices that programs are compiled for where more are planned. Not 2: there a ring leaves its last message out."""


@dataclass(frozen=True)
class Planned:
    """A recipe, so many devices of a kind, and the images to train on; refused where they do not go together."""

    recipe: Recipe
    devices: int
    chip: Chip
    images: int

    def __post_init__(self) -> None:
        config.check(self.recipe)
        train = self.recipe.train
        check_divisible(planned_mesh(self.devices, train.fsdp), train.batch, train.micro_batches)
        if self.images < train.batch:
            raise UserError(f"--images {self.images} are fewer than a batch of {train.batch}: name more, or lower it.")

    @property
    def share(self) -> int:
        """Samples of a batch on one device."""
        return self.recipe.train.batch // self.devices

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.recipe.train.total_steps(self.images // self.recipe.train.batch)

    @property
    def image_bytes(self) -> int:
        """Of the images on one device, if they are to stay there."""
        return image_bytes(self.batch(1), self.images, self.devices)

    @property
    def resident(self) -> bool:
        """Whether the images stay on the devices: a run takes them from the host where they would fill these."""
        return self.recipe.data.resident and self.image_bytes <= SHARE * self.chip.memory

    @cached_property
    def memory(self) -> Memory:
        fsdp, images = self.recipe.train.fsdp, self.image_bytes if self.resident else 0
        training, share = self.training(self.share), self.batch(self.share)
        return memory_of(training, share, self.devices, fsdp, images, self._own)

    @cached_property
    def verdict(self) -> str:
        return self.memory.verdict(self.chip)

    def exchanged(self) -> dict[str, Collective]:
        """By one device in a step: of the program itself up to 8 devices, and carried on from those of two beyond."""
        if self.devices <= max(SIMULATED):
            return self._exchanged_on(self.devices)
        with ThreadPoolExecutor() as pool:
            few, more = pool.map(self._exchanged_on, SIMULATED)
        return carried(few, more, SIMULATED, self.devices)

    def time(self, flops: int, exchanged: Mapping[str, Collective]) -> Time:
        """Of a step whose model does so many operations on all devices."""
        meeting = max(0.0, flops / self.devices - self.flops(self.share))
        peak = self.chip.peak_of(self.recipe.train.precision)
        found = step_products(self.training(self.share), self.batch(self.share), self._own)
        compute = compute_seconds(found, meeting, self.memory.state, peak, self.chip.bandwidth)
        return Time(compute, exchange_seconds(exchanged, self.devices, self.chip))

    def flops(self, samples: int) -> int:
        """What network and loss ask for on so many samples, nothing made again."""
        plain = replace(self, recipe=without_remat(config.override(self.recipe, {"train.micro_batches": 1})))
        return model_flops(plain.training(samples), self.batch(samples), self._own)

    def switches(self) -> Iterator[tuple[str, "Planned"]]:
        """What could be set otherwise, each planned: by itself, and all of it where nothing suffices alone."""
        together: dict[str, Any] = {}
        tried = [found for ladder in self._ladders() if (found := self._climbed(ladder))]
        for changes, planned in tried:
            together |= changes if "train.batch" not in changes else {}
            yield _flags(changes), planned
        enough = len(tried) == 1 or any(planned.verdict == "fits" for _, planned in tried)
        if not enough and (all_of_it := self._changed(together)):
            yield _flags(together), all_of_it

    def _ladders(self) -> Iterator[list[dict[str, Any]]]:
        """Steps of one switch each, the gentlest first."""
        train, model = self.recipe.train, self.recipe.model
        if hasattr(model, "remat") and not model.remat:
            yield [{"model.remat": True if model.remat is False else len(model.widths)}]
        if train.precision == "float32":
            yield [{"train.precision": "bfloat16"}]
        if train.fsdp < (node := gcd(self.devices, self.chip.node)):
            yield [{"train.fsdp": node}]
        doubled = [train.micro_batches * 2**n for n in range(1, 13)]
        parts = {n: train.batch // n for n in doubled if train.batch % (n * self.devices) == 0}
        yield [{"train.micro_batches": n, **self._regrouped(part)} for n, part in parts.items()]
        halved = takewhile(lambda n: n >= self.devices, (train.batch // 2**n for n in range(1, 13)))
        yield [{"train.batch": n, **self._regrouped(n // train.micro_batches)} for n in halved]

    def _regrouped(self, part: int) -> dict[str, Any]:
        """The group for normalisation that fewer samples at a time ask for: a change of the result, and said as one."""
        group = self.recipe.model.group  # type: ignore[attr-defined]
        return {} if part % group == 0 else {"model.norm.group": gcd(part, group)}

    def _climbed(self, ladder: list[dict[str, Any]]) -> tuple[dict[str, Any], "Planned"] | None:
        """The first of these changes with which it fits, or else the last that is possible at all."""
        last = None
        for changes in ladder:
            if planned := self._changed(changes):
                last = changes, planned
                if planned.verdict == "fits":
                    break
        return last

    def _changed(self, changes: dict[str, Any]) -> "Planned | None":
        """The same with some options changed; None where the recipe refuses them."""
        try:
            return replace(self, recipe=config.override(self.recipe, changes))
        except UserError:
            return None

    @cached_property
    def _own(self) -> Mesh:
        return make_mesh(jax.devices()[:1])

    def batch(self, size: int) -> dict[str, Any]:
        return abstract_batch(self.recipe.data, 1, size)

    def training(self, samples: int) -> Training:
        """The step on so many samples; a group for normalisation that reaches further is cut to those there are."""
        train = self.recipe.train
        recipe = replace(self.recipe, model=in_groups(self.recipe.model, samples // train.micro_batches))
        schedule = Schedule(self.steps, self.images // train.batch, train.micro_batches, train.average)
        return Training(method_of(recipe), make_optimiser(recipe.optim, self.steps), schedule)

    def _exchanged_on(self, devices: int) -> dict[str, Collective]:
        # Groups are those of the smaller number: what changes between the two is the number alone.
        training = self.training(self.share * min(devices, self._group_devices))
        mesh = make_mesh(jax.devices()[:devices], gcd(self.recipe.train.fsdp, devices))
        batch = self.batch(self.share * devices)
        given = (training.method, training.optimiser, training.schedule, batch, mesh)
        return of_step(self.recipe.name, *given).collectives

    @property
    def _group_devices(self) -> int:
        return self.devices if self.devices <= max(SIMULATED) else min(SIMULATED)


def _flags(changes: dict[str, Any]) -> str:
    """The changes as words of a command."""
    words = [f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}") for name, value in changes.items()]
    return " ".join(words)
