"""A whole set of images kept on the devices, a part on each, from which batches are put together there.

Cardiac sets are 1 to 10 GB as stored: they fit, and after the first step no image passes from the host to a device.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Int, Shaped

from jaxssl.methods.base import Batch
from jaxssl.train.mesh import by_sample, replicated
from jaxssl.train.processes import least

PIECE = 2**25
"""Bytes of the samples that a device looks for at a time."""

SHARE = 0.5
"""Of a device's memory that images may take: the rest is for the network."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Resident:
    """Images, and masks where they are wanted, in the order of `rows`: which rows of the cache they are, ascending."""

    rows: Int[Array, " n"]
    image: Shaped[Array, "padded y x c"]
    mask: Shaped[Array, "padded y x"] | None


def too_large(mesh: Mesh, rows: np.ndarray, *arrays: np.ndarray | None) -> str | None:
    """Why these rows of the arrays cannot stay on the devices, in a sentence; None where they can."""
    needed = sum(a[:1].nbytes for a in arrays if a is not None) * len(rows) / mesh.size
    # All processes must come to one answer, or each would wait for the others in a program of its own.
    limit = least(min(memory_of(device) for device in mesh.local_devices))
    if limit * SHARE >= needed:
        return None
    return (
        f"data.resident: {needed / 1e9:.2f} GB of images a device are more than half of its {limit / 1e9:.2f} GB; "
        "they come from the host instead."
    )


def memory_of(device: Any) -> float:
    """Bytes that a device has; simulated devices share the machine's."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return machine / jax.local_device_count()


def put_images(mesh: Mesh, rows: np.ndarray, images: np.ndarray, masks: np.ndarray | None) -> Resident:
    """Put these rows on the devices; a process reads only what its own devices hold."""
    rows = np.unique(rows)
    padded = np.pad(rows, (0, -len(rows) % mesh.size), mode="edge")

    def spread(array: np.ndarray) -> jax.Array:
        def part(index: tuple[slice, ...]) -> np.ndarray:
            return array[padded[index[0]]]

        return jax.make_array_from_callback((len(padded), *array.shape[1:]), by_sample(mesh), part)  # type: ignore[arg-type]

    return Resident(
        rows=jax.device_put(rows.astype(np.int32), replicated(mesh)),
        image=spread(images),
        mask=None if masks is None else spread(masks),
    )


def complete(mesh: Mesh) -> Callable[[Batch, Resident | None], Batch]:
    """The function that adds the pixels to a batch that came without, by the rows in its `id`."""

    def with_pixels(batch: Batch, resident: Resident | None) -> Batch:
        if resident is None:
            return batch
        places = jnp.searchsorted(resident.rows, batch["id"])
        pixels: dict[str, Any] = {"image": take(mesh, resident.image, places)}
        if resident.mask is not None:
            pixels["mask"] = take(mesh, resident.mask, places)
        if "partners" in batch:
            pixels["partners"] = {kind: with_pixels(one, resident) for kind, one in batch["partners"].items()}
        return {**batch, **pixels}

    return with_pixels


def take(mesh: Mesh, stored: Shaped[Array, "n *rest"], places: Int[Array, " batch"]) -> Shaped[Array, "batch *rest"]:
    """The stored samples at some places, both spread by sample: each device gives what it has, and gets what it needs.

    Samples go through a reduce-scatter, as bytes: every sum has a single term that is not zero, and not every
    interconnect adds 16-bit integers. A device looks for the samples of all: piece by piece, or it would have to hold
    the whole batch.
    """
    axes, sample = mesh.axis_names, math.prod(stored.shape[1:]) * stored.dtype.itemsize

    def local(part: Array, places: Array) -> Array:
        found = lax.map(lambda piece: look(part, piece), places.reshape(_pieces(len(places), sample * mesh.size), -1))
        return found.reshape(-1, *part.shape[1:])

    def look(part: Array, places: Array) -> Array:
        wanted = lax.all_gather(places, axes, tiled=True) - lax.axis_index(axes) * len(part)
        here = (wanted >= 0) & (wanted < len(part))
        taken = lax.bitcast_convert_type(jnp.take(part, wanted, axis=0, mode="clip"), jnp.uint8)
        masked = jnp.where(here.reshape(-1, *[1] * (taken.ndim - 1)), taken, 0)
        return lax.bitcast_convert_type(lax.psum_scatter(masked, axes, tiled=True), part.dtype)

    spec = by_sample(mesh).spec
    return jax.shard_map(local, mesh=mesh, in_specs=(spec, spec), out_specs=spec)(stored, places)


def _pieces(count: int, size: int) -> int:
    """In how many equal pieces `count` things are taken so that one has at most PIECE bytes, or a single thing."""
    return next(n for n in range(1, count + 1) if count % n == 0 and (count // n * size <= PIECE or n == count))
