"""The devices of a mesh in a circle: each keeps its share of rows, and copies are handed from neighbour to neighbour.

A ring rather than a gather: each device holds its own share and one guest's, never all rows and a gradient of all of
them, so that memory falls with the number of devices. 65,536 rows of 512 float32 are 128 MiB, an eighth is 16 MiB.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import AbstractMesh, PartitionSpec
from jaxtyping import Array, Int, PyTree, Shaped


@dataclass(frozen=True)
class Ring:
    """All devices of a mesh, in the order of its axes; a mesh without axes is one device."""

    mesh: AbstractMesh

    @property
    def axes(self) -> tuple[str, ...]:
        # Inside a shard_map axes are manual: what is computed there already is one device's own.
        return self.mesh.auto_axes

    @property
    def size(self) -> int:
        return math.prod(self.mesh.shape[axis] for axis in self.axes)

    def place(self) -> Int[Array, ""] | int:
        """Return the number of the device that asks; only for use in a function given to `deal`."""
        return 0 if self.size == 1 else lax.axis_index(self.axes)

    def hand_on(self, tree: PyTree, steps: int = 1) -> PyTree:
        """Return what the device `steps` places further on has handed over; floating arrays, in one message."""
        if steps % self.size == 0 or not jax.tree.leaves(tree):
            return tree
        message, unpack = ravel_pytree(tree)
        return unpack(lax.ppermute(message, self.axes, [(d, (d - steps) % self.size) for d in range(self.size)]))

    def deal(self, function: Callable[..., Any], known_to_all: PyTree, *arrays: PyTree) -> Any:
        """Return function(known_to_all, *arrays), where each device is given equal shares of the arrays' rows.

        Arrays are padded with zeros to make that possible, so the result has rows to spare at its end.
        """
        if self.size == 1:
            return function(known_to_all, *arrays)
        rows, everything = PartitionSpec(self.axes), PartitionSpec()
        padded = jax.tree.map(lambda x: pad_rows(x, -len(x) % self.size), arrays)
        specs = everything, *(rows for _ in arrays)
        return jax.shard_map(function, mesh=self.mesh, in_specs=specs, out_specs=rows)(known_to_all, *padded)


def current_ring() -> Ring:
    """Return the ring of the mesh given to `jax.set_mesh`, or of one device where there is none."""
    return Ring(jax.sharding.get_abstract_mesh())


def pad_rows(x: Shaped[Array, " rows *rest"], number: int) -> Shaped[Array, " more *rest"]:
    """Append rows of zeros."""
    return jnp.pad(x, [(0, number)] + [(0, 0)] * (x.ndim - 1))
