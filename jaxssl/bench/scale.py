"""What scales how: work, memory and communication of one device when a program is divided over more of them.

Programs are compiled for simulated devices and never run: nothing is said of time, and no data are needed.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxssl.bench import program
from jaxssl.bench.program import Collective
from jaxssl.methods.base import Method
from jaxssl.objectives import contrastive_loss, same_instance
from jaxssl.train.mesh import by_sample
from jaxssl.train.state import abstract_state
from jaxssl.train.step import Schedule, make_step

FAST: dict[str, Any] = {"xla_backend_optimization_level": 0}
"""Machine code is not looked at: leaving it unpolished halves the wait, and the program stays the same."""


@dataclass(frozen=True)
class Row:
    """What one of `devices` devices does and holds, in operations and bytes."""

    program: str
    devices: int
    flops: int
    state: int
    """Of weights, moments and whatever else lives on from step to step."""
    temporary: int
    collectives: dict[str, Collective]


def of_step(
    name: str, method: Method, optimiser: optax.GradientTransformation, schedule: Schedule, batch: Any, mesh: Mesh
) -> Row:
    """A training step on an abstract batch."""
    key, progress = jax.random.key(0), schedule.progress(jnp.int32(0))
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), batch)
    views = jax.eval_shape(lambda batch: method.views(key[None], batch, progress), one)
    state = abstract_state(method, optimiser, 0, views, mesh, schedule.average is not None)
    spread = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=by_sample(mesh)), batch)
    step = make_step(method, optimiser, optax.constant_schedule(0.0), schedule, mesh)
    return _row(name, mesh, step.lower(state, spread), state)


def of_loss(name: str, rows: int, dim: int, mesh: Mesh) -> Row:
    """Value and gradient of the contrastive loss of so many embeddings, two of each sample."""
    embeddings = jax.ShapeDtypeStruct((rows, dim), jnp.float32, sharding=by_sample(mesh))

    def loss(z: jax.Array) -> jax.Array:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return contrastive_loss(z, same_instance(jnp.arange(rows) // 2))[0]

    graded = jax.jit(jax.value_and_grad(loss), out_shardings=(None, by_sample(mesh)))
    return _row(name, mesh, graded.lower(embeddings), ())


def _row(name: str, mesh: Mesh, lowered: jax.stages.Lowered, state: Any) -> Row:
    compiled = lowered.compile(compiler_options=FAST)
    return Row(
        program=name,
        devices=mesh.size,
        flops=program.flops(compiled),
        state=sum(on_one_device(leaf) for leaf in jax.tree.leaves(state)),
        temporary=program.memory(compiled).temporary,
        collectives=program.collectives(compiled),
    )


def on_one_device(leaf: Any) -> int:
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
