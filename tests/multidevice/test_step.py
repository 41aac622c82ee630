"""The step's memory under micro-batches, and a run that moves to other hardware."""

from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.data.grid import Layout
from jaxssl.train.checkpoint import Checkpoints
from jaxssl.train.mesh import make_mesh, put_batch
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule, make_step


def prepared(case, devices: int, micro: int = 1, size: int = 32):
    """A compiled-on-demand step on so many devices, and its abstract and first states."""
    method, mesh = cases.method_of(case), make_mesh(jax.devices()[:devices])
    optimiser = optax.sgd(0.1, momentum=0.9)
    plan = Schedule(steps=10, steps_per_epoch=4, micro_batches=micro)
    key, batch = jax.random.key(0), cases.batch_of(case, size)
    views = jax.jit(method.views)(jax.random.split(key, size), batch, plan.progress(jnp.int32(0)))
    abstract = abstract_state(method, optimiser, 3, views, mesh)
    state = create_state(method, optimiser, 3, views, abstract)
    return method, make_step(method, optimiser, lambda step: 0.1, plan, mesh), mesh, abstract, state, views


@pytest.mark.parametrize("name", ["simclr", "mim"])
def test_four_micro_batches_of_a_fourfold_batch_take_the_memory_of_one(name):
    case = cases.with_group(cases.tiny(name), 8)
    case = replace(case, data=replace(case.data, layout=Layout((96, 96), 2.0)))

    def temporary(size: int, micro: int) -> tuple[int, int]:
        method, step, mesh, _, state, views = prepared(case, 1, micro, size)
        batch = put_batch(mesh, cases.batch_of(case, size))
        memory = step.lower(state, batch).compile().memory_analysis()
        seen = jax.eval_shape(
            lambda s, v: method.forward(s.params, s.carry, v, jax.random.split(jax.random.key(0), size), None),
            state,
            views,
        )
        cached = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((seen.outputs, seen.fixed)))
        return memory.temp_size_in_bytes, cached

    one, _ = temporary(16, 1)
    four, cached = temporary(64, 4)
    assert four <= 1.2 * one + cached, (one, four, cached)


def test_saved_on_eight_devices_a_run_goes_on_on_fewer(tmp_path):
    case = cases.with_group(cases.tiny("toy"), 8)

    def steps(prepared_run, state, numbers):
        _, step, mesh, *_ = prepared_run
        losses = []
        for number in numbers:
            state, log = step(state, put_batch(mesh, cases.batch_of(case, 32, seed=number)))
            losses.append(float(log["loss"]))
        return state, losses

    eight = prepared(case, 8)
    state, _ = steps(eight, eight[4], range(2))
    saved = jax.device_get(state)
    with Checkpoints(tmp_path, keep=1, warn=pytest.fail) as checkpoints:
        checkpoints.save(2, state, {})
    _, on_eight = steps(eight, state, range(2, 6))

    for devices in (4, 2, 1):
        fewer = prepared(case, devices)
        with Checkpoints(tmp_path, keep=1, warn=pytest.fail) as checkpoints:
            restored = checkpoints.restore(fewer[3])
        assert restored is not None
        jax.tree.map(np.testing.assert_array_equal, saved, jax.device_get(restored.state))
        assert all(len(leaf.sharding.device_set) == devices for leaf in jax.tree.leaves(restored.state))
        _, on_fewer = steps(fewer, restored.state, range(2, 6))
        np.testing.assert_allclose(on_fewer, on_eight, rtol=1e-5)
