"""Devices as one mesh, and where arrays lie on it.

The mesh has two axes. Samples are spread over both; the state is spread over `fsdp` alone and repeated along `data`, so
that fsdp = 1 repeats it everywhere and fsdp = all devices stores it once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from jaxssl.errors import UserError

DATA, FSDP = "data", "fsdp"

SMALL = 1024
"""An array of fewer elements is repeated: it would cost more to gather than to hold."""


def make_mesh(devices: Sequence[Any] | None = None, fsdp: int = 1) -> Mesh:
    """A mesh over all devices (or those given), with axes that the compiler partitions by itself."""
    devices = jax.devices() if devices is None else devices
    shape = mesh_shape(len(devices), fsdp)
    return jax.make_mesh(shape, (DATA, FSDP), axis_types=(AxisType.Auto,) * 2, devices=devices)


def first_devices(count: int | None) -> list[Any]:
    """So many of this machine's devices, all of them unless a number is given."""
    devices = jax.devices()
    if count is None:
        return devices
    if jax.process_count() > 1:
        raise UserError("train.devices cannot leave devices of several processes out; start fewer processes.")
    if count > len(devices):
        raise UserError(
            f"train.devices {count} are more than the {len(devices)} that there are; choose fewer, or None."
        )
    return devices[:count]


def mesh_shape(devices: int, fsdp: int) -> tuple[int, int]:
    """How many of so many devices each axis has."""
    if devices % fsdp:
        raise UserError(
            f"train.fsdp {fsdp} does not divide the {devices} devices; choose one of "
            f"{', '.join(str(n) for n in range(1, devices + 1) if devices % n == 0)}."
        )
    return devices // fsdp, fsdp


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def by_sample(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Samples (the given axis) are spread over all devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, (DATA, FSDP)))


def of_state(mesh: Mesh, tree: Any) -> Any:
    """The sharding of each array of a state (concrete, abstract or traced): its longest even axis goes over `fsdp`."""
    size = mesh.shape[FSDP]

    def sharding(leaf: Any) -> NamedSharding:
        even = [axis for axis, length in enumerate(leaf.shape) if length % size == 0]
        if size == 1 or leaf.size < SMALL or not even:
            return replicated(mesh)
        longest = max(even, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, FSDP))

    return jax.tree.map(sharding, tree)


def check_divisible(mesh: Mesh | AbstractMesh, batch: int, micro_batches: int) -> None:
    """Refuse a batch that cannot be spread evenly."""
    if batch % micro_batches:
        raise UserError(f"train.batch {batch} is not divisible by train.micro_batches {micro_batches}.")
    if batch // micro_batches % mesh.size:
        raise UserError(
            f"{batch // micro_batches} samples (train.batch / train.micro_batches) cannot be spread evenly over "
            f"{mesh.size} devices; choose a batch that is a multiple of {micro_batches * mesh.size}."
        )


def own_places(mesh: Mesh, batch: int) -> np.ndarray:
    """The places in a global batch that lie on this process's devices, in order."""
    places = np.arange(batch)
    slices = by_sample(mesh).addressable_devices_indices_map((batch,)).values()
    return np.unique(np.concatenate([places[index] for index in slices]))


def put_batch(mesh: Mesh, batch: Mapping[str, Any], axis: int = 0) -> Any:
    """Lay this process's part of a host batch on the mesh, spread by sample (the given axis)."""
    sharding = by_sample(mesh, axis)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), dict(batch))


def gathered(mesh: Mesh, tree: Any) -> Any:
    """Arrays of the mesh as numpy, whole, one after the other: a device never holds more of them than one."""
    repeat = jax.jit(lambda x: x, out_shardings=replicated(mesh))
    return jax.tree.map(lambda x: np.asarray(x if x.is_fully_addressable else repeat(x)), tree)
