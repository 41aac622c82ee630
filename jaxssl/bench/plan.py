"""What a training step will need of each of many devices: bytes, seconds, and what it exchanges; nothing is run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AbstractMesh, AxisType, Mesh

from jaxssl.bench.chips import Chip
from jaxssl.bench.liveness import SPREAD, temporary_bytes
from jaxssl.bench.products import Product, flops, least_seconds, products
from jaxssl.bench.program import COLLECTIVES, Collective
from jaxssl.bench.scale import on_one_device
from jaxssl.bench.step import STEP, model_products, programs
from jaxssl.methods.base import Method
from jaxssl.train.mesh import DATA, FSDP, mesh_shape
from jaxssl.train.state import State, abstract_state
from jaxssl.train.step import Schedule

SENT = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1, "all-to-all": 1}
"""How often a device sends the bytes of a collective, but for its own share; a permutation sends them once, whole."""
ROW = 4
"""Bytes by which every device knows an image."""


@dataclass(frozen=True)
class Training:
    """A recipe's step: what it is made of."""

    method: Method
    optimiser: optax.GradientTransformation
    schedule: Schedule

    def views(self, batch: Any) -> Any:
        """Shapes of what the network sees of one sample."""
        key, progress = jax.random.key(0), self.schedule.progress(jnp.int32(0))
        one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), batch)
        return jax.eval_shape(lambda batch: self.method.views(key[None], batch, progress), one)

    def state(self, batch: Any, mesh: Any) -> State:
        """Shapes and places of the state."""
        averaged = self.schedule.average is not None
        return abstract_state(self.method, self.optimiser, 0, self.views(batch), mesh, averaged)

    def programs(self, mesh: Mesh) -> dict[str, Any]:
        return programs(self.method, self.optimiser, optax.constant_schedule(0.0), self.schedule, mesh)


@dataclass(frozen=True)
class Memory:
    """Bytes of one device."""

    state: int
    """Exact: weights, moments, teachers, from the shapes and the places of all arrays."""
    gathered: int
    """Whole weights that a device makes of divided ones while it computes."""
    temporary: int
    """Estimated: what lives between a step's beginning and its end."""
    batch: int
    images: int
    """Of a data set that stays on the devices."""

    def total(self, caution: float = 1.0) -> int:
        """All of it, with the estimate taken so many times."""
        return self.state + self.gathered + self.batch + self.images + int(caution * self.temporary)

    def verdict(self, chip: Chip) -> str:
        """Whether that goes into what a program gets of the chip's memory, however far off the estimate has been."""
        usable = chip.memory * chip.usable
        if self.total(1 / SPREAD[0]) <= usable:
            return "fits"
        return "may not fit" if self.total(1 / SPREAD[1]) <= usable else "does not fit"


@dataclass(frozen=True)
class Time:
    """Seconds of a step by roofline, on one device of all."""

    compute: float
    """Each product as long as its arithmetic or its traffic; the state read and written once; the rest is free."""
    exchange: float

    @property
    def alone(self) -> float:
        """Where exchanges wait for arithmetic and arithmetic for them."""
        return self.compute + self.exchange

    @property
    def overlapped(self) -> float:
        """Where they go on at the same time."""
        return max(self.compute, self.exchange)


def planned_mesh(devices: int, fsdp: int) -> AbstractMesh:
    """The mesh of a run, without its devices."""
    return AbstractMesh(mesh_shape(devices, fsdp), (DATA, FSDP), axis_types=(AxisType.Auto,) * 2)


def image_bytes(batch: Any, images: int, devices: int) -> int:
    """Of so many images like those of a batch on one device, which keeps its part of them and the list of all."""
    pixels = sum(bytes_of(batch[name]) // batch[name].shape[0] for name in ("image", "mask") if name in batch)
    return math.ceil(images / devices) * pixels + images * ROW


def memory_of(training: Training, share: Any, devices: int, fsdp: int, images: int, own: Mesh) -> Memory:
    """Of one device, which is given its `share` of the batch and keeps `images` bytes of them; `own` is any device."""
    divided = training.state(share, planned_mesh(devices, fsdp))
    return Memory(
        state=sum(map(on_one_device, jax.tree.leaves(divided))),
        gathered=bytes_of((divided.params, divided.carry)) if fsdp > 1 else 0,
        temporary=temporary_bytes(training.programs(own)[STEP], training.state(share, own), share),
        batch=bytes_of(share),
        images=images,
    )


def model_flops(training: Training, batch: Any, own: Mesh) -> int:
    """Of network and loss, forward and backward, of a whole batch; `training` makes nothing again."""
    return flops(model_products(training.programs(own), training.state(batch, own), batch))


def step_products(training: Training, share: Any, own: Mesh) -> list[Product]:
    """Of a whole step of one device on its share of the batch: views, what is made again, and all."""
    return products(training.programs(own)[STEP], training.state(share, own), share)


def compute_seconds(found: list[Product], meeting: float, state: int, peak: float, bandwidth: float) -> float:
    """Of one device: its products, `meeting` operations on other devices' samples, `state` bytes read and written."""
    return least_seconds(found, peak, bandwidth) + meeting / peak + 2 * state / bandwidth


def carried(
    few: Mapping[str, Collective], more: Mapping[str, Collective], sizes: tuple[int, int], devices: int
) -> dict[str, Collective]:
    """The exchanges on many devices, from those on two smaller numbers with as many samples each.

    One that sums over samples (gradients, statistics) is as large on any number of devices, one that hands samples on
    or gathers them grows with their number: bytes and counts are a constant and a share of the number of devices.
    """

    def line(at: int, then: int) -> int:
        slope = max(0.0, (then - at) / (sizes[1] - sizes[0]))
        return round(then + slope * (devices - sizes[1]))

    none, kinds = Collective(0, 0), [kind for kind in COLLECTIVES if kind in few or kind in more]
    ends = {kind: (few.get(kind, none), more.get(kind, none)) for kind in kinds}
    return {kind: Collective(line(a.count, b.count), line(a.bytes, b.bytes)) for kind, (a, b) in ends.items()}


def exchange_seconds(exchanged: Mapping[str, Collective], devices: int, chip: Chip) -> float:
    """Of links alone, no time to begin counted: in a node first, and of what is left a device's part between nodes."""
    near = math.gcd(devices, chip.node) if devices > chip.node else devices
    nodes = devices // near

    def seconds(kind: str, size: int) -> float:
        if kind == "collective-permute":
            return size / (chip.link if nodes == 1 else chip.far)
        within = size * (near - 1) / near / chip.link
        return SENT[kind] * (within + size / near * (nodes - 1) / nodes / chip.far)

    return sum(seconds(kind, one.bytes) for kind, one in exchanged.items())


def bytes_of(tree: Any) -> int:
    """Of arrays as they are on one device that has them whole."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def shared_group(group: int, part: int) -> int:
    """The group for normalisation that a device has of `part` samples alone: its own part of a larger one."""
    return group if part % group == 0 else part


def in_groups(model: Any, part: int) -> Any:
    """A network that normalises `part` samples in groups that divide them, where its own do not."""
    if model.norm is None:
        return model
    return replace(model, norm=replace(model.norm, group=shared_group(model.norm.group, part)))
