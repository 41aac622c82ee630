"""Views of a batch that several devices share: each device makes those of its own samples."""

import cases
import jax
import jax.numpy as jnp
import pytest

from jaxssl.bench import program
from jaxssl.bench.step import programs
from jaxssl.train.mesh import make_mesh, put_batch
from jaxssl.train.optim import make_optimiser
from jaxssl.train.state import abstract_state
from jaxssl.train.step import Schedule


@pytest.mark.parametrize("name", ["segment", "dino"])
def test_no_sample_goes_to_another_device(name):
    case, mesh, plan = cases.quick(name), make_mesh(), Schedule(10, 5)
    method, optimiser, batch = cases.method_of(case), make_optimiser(case.optim, 10), cases.batch_of(case, 16)
    keys, progress = jax.random.split(jax.random.key(0), 16), plan.progress(jnp.int32(0))
    views = jax.eval_shape(method.views, keys, batch, progress)
    state = abstract_state(method, optimiser, 0, views, mesh)
    make = programs(method, optimiser, lambda step: 0.1, plan, mesh)["views"]
    assert not program.collectives(jax.jit(make).lower(state, put_batch(mesh, batch)).compile())
