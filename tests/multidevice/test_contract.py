"""The contract kit: what every method must keep, on 1, 2, 4 and 8 devices and in 1, 2 and 4 micro-batches.

A method joins by its recipe's `tiny` variant; nothing is added here.
"""

from functools import cache, partial

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.train.mesh import make_mesh, put_batch
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule, loss_and_gradient, make_step

BATCH = 32
SPLITS = [(devices, micro) for devices in (1, 2, 4, 8) for micro in (1, 2, 4) if BATCH // micro % devices == 0]


def schedule(micro: int = 1) -> Schedule:
    return Schedule(seed=3, steps=10, steps_per_epoch=4, micro_batches=micro)


@cache
def one_step(name: str, devices: int, micro: int, precision: str):
    """Loss, gradient and the state after one SGD step, as numpy."""
    dtype = jnp.dtype(precision)
    case = cases.with_group(cases.tiny(name), 8)
    method, mesh = cases.method_of(case, dtype), make_mesh(jax.devices()[:devices])
    optimiser = optax.sgd(0.1, momentum=0.9)
    plan = schedule(micro)
    key, batch = jax.random.key(0), put_batch(mesh, cases.batch_of(case, BATCH))
    views = method.views(jax.random.split(key, BATCH), cases.batch_of(case, BATCH), plan.progress(jnp.zeros((), jnp.int32)))
    state = create_state(method, optimiser, key, views, abstract_state(method, optimiser, key, views, mesh))
    of_whole = jax.jit(partial(loss_and_gradient, method, schedule=plan, mesh=mesh, progress=plan.progress(state.step)))
    loss, _, _, gradient = of_whole(state.params, state.carry, batch)
    state, _ = make_step(method, optimiser, lambda step: 0.1, plan, mesh)(state, batch)
    return jax.device_get((loss, gradient, state.params, state.carry))


def largest_difference(tree, reference) -> float:
    """Over all leaves, the largest difference in units of that leaf's largest value."""
    return max(
        np.abs(np.float64(a) - np.float64(b)).max() / max(np.abs(np.float64(b)).max(), 1e-12)
        for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(reference), strict=True)
    )


def assert_same(name: str, devices: int, micro: int, precision: str, tolerance: float) -> None:
    reference = one_step(name, 1, 1, precision)
    result = one_step(name, devices, micro, precision)
    for what, got, wanted in zip(("loss", "gradient", "params", "carry"), result, reference, strict=True):
        assert largest_difference(got, wanted) <= tolerance, what


@pytest.mark.parametrize("name", cases.NAMES)
@pytest.mark.parametrize(("devices", "micro"), [(8, 1), (2, 4)])
def test_devices_and_micro_batches_do_not_change_the_step(name, devices, micro):
    assert_same(name, devices, micro, "float32", 1e-5)


@pytest.mark.parametrize("name", cases.NAMES)
@pytest.mark.parametrize(("devices", "micro"), SPLITS[1:])
def test_in_float64_the_step_is_the_same_to_rounding(name, devices, micro):
    with jax.enable_x64(True):
        assert_same(name, devices, micro, "float64", 1e-9)
