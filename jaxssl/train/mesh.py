"""Devices as one mesh, and where arrays lie on it."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxssl.errors import UserError

DATA = "data"


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A one-axis mesh over all devices (or those given), with axes that the compiler partitions by itself."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (DATA,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def by_sample(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Samples (the given axis) are spread over the mesh."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA))


def check_divisible(mesh: Mesh, batch: int, micro_batches: int) -> None:
    """Refuse a batch that cannot be spread evenly."""
    if batch % micro_batches:
        raise UserError(f"train.batch {batch} is not divisible by train.micro_batches {micro_batches}.")
    if batch // micro_batches % mesh.size:
        raise UserError(
            f"{batch // micro_batches} samples (train.batch / train.micro_batches) cannot be spread evenly over "
            f"{mesh.size} devices; choose a batch that is a multiple of {micro_batches * mesh.size}."
        )


def put_batch(mesh: Mesh, batch: Mapping[str, Any]) -> Any:
    """Lay this process's part of a host batch on the mesh, spread by sample."""
    sharding = by_sample(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), dict(batch))
