"""The contract kit: what every method must keep on 1, 2, 4 and 8 devices, with the state whole or divided on each, and
in 1, 2 and 4 micro-batches.

A method joins by its recipe's `tiny` variant; nothing is added here.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxssl.train import mesh
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule, make_step

BATCH, GROUP, RATE = 32, 8, 0.1
SEED, PLAN = 3, Schedule(steps=10, steps_per_epoch=4)
SPLITS = [(2, 1, 2), (4, 4, 1), (8, 1, 1), (1, 1, 4), (8, 2, 4)]
"""Devices, devices that share one copy of the state, micro-batches."""
HARDEST = SPLITS[-1]
OF_KIN = ("awcl", "simclr:tiny_vit", "simclr:densenet", "simclr:vgg")
"""Whose kin stand for them: PCL, the ViTs of test_masked.py, the ResNet. A new method is among the others by itself."""
QUICK = {
    "float32": {"toy": [HARDEST]},
    "float64": {"toy": SPLITS}
    | {name: [HARDEST] for name in (*cases.NAMES, *cases.BACKBONES) if name not in (*OF_KIN, "toy")},
}
"""What is compared each time, by precision and method; the rest is by `-m slow`. The toy has every difficulty of a
method, and float64 shows a fault where float32 shows rounding as well."""


def all_cases(names: list[str], precision: str) -> list:
    """Every method and split, the slow ones marked."""
    return [
        pytest.param(
            name,
            split,
            id=f"{name}-{split}",
            marks=() if split in QUICK[precision].get(name, ()) else pytest.mark.slow,
        )
        for name in names
        for split in SPLITS
    ]


@contextmanager
def without_kinks():
    """Rectifiers made smooth: where a value lies within rounding of a kink, the gradient itself jumps, and no bound on
    rounding could hold. In float64 the networks are compared as they are."""
    with pytest.MonkeyPatch.context() as patch:
        for rectifier in ("relu", "leaky_relu"):
            patch.setattr(nn, rectifier, lambda x, *_: nn.silu(x))
        yield


@pytest.fixture(autouse=True, scope="module")
def every_array_divided():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mesh, "SMALL", 1)
        yield


@cache
def begun(name: str, precision: str):
    """The method, a batch, and views of it to begin with, for which no devices are asked."""
    case = cases.with_group(cases.quick(name), GROUP)
    method = cases.method_of(case, jnp.dtype(precision))
    batch = cases.in_precision(cases.batch_of(case, BATCH), precision)
    views = jax.jit(method.views)(jax.random.split(jax.random.key(0), BATCH), batch, PLAN.progress(jnp.int32(0)))
    return method, batch, views


@cache
def one_step(name: str, devices: int, fsdp: int, micro: int, precision: str):
    """Loss, gradient, and params and carry after one SGD step, as numpy."""
    (method, batch, views), grid = begun(name, precision), mesh.make_mesh(jax.devices()[:devices], fsdp)
    # The momentum of a first step is the gradient itself.
    optimiser = optax.sgd(RATE, momentum=0.9)
    plan = replace(PLAN, micro_batches=micro)
    state = create_state(method, optimiser, SEED, views, abstract_state(method, optimiser, SEED, views, grid))
    # At step 1 layers that are frozen at first have thawed, so that their gradients are there to be compared.
    state = replace(state, step=state.step + 1)
    step = make_step(method, optimiser, lambda step: RATE, plan, grid)
    with without_kinks() if precision == "float32" else nullcontext():
        state, log = step(state, mesh.put_batch(grid, batch))
    gradient = optax.tree.get(state.moments, "trace")
    return jax.device_get({"loss": log["loss"], "gradient": gradient, "params": state.params, "carry": state.carry})


def assert_same(name: str, split: tuple[int, int, int], precision: str, tolerance: float) -> None:
    """Every leaf differs by no more than the tolerance in units of that leaf's largest value."""
    reference, result = one_step(name, 1, 1, 1, precision), one_step(name, *split, precision)
    assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(reference["gradient"]))

    def compare(path, wanted, got):
        error = np.abs(np.float64(got) - np.float64(wanted)).max() / max(np.abs(np.float64(wanted)).max(), 1e-12)
        assert error <= tolerance, jax.tree_util.keystr(path)

    jax.tree_util.tree_map_with_path(compare, reference, result)


@pytest.mark.parametrize(("name", "split"), all_cases(cases.NAMES, "float32"))
def test_devices_and_micro_batches_do_not_change_the_step(name, split):
    assert_same(name, split, "float32", 1e-5)


@pytest.mark.parametrize(("name", "split"), all_cases([*cases.NAMES, *cases.BACKBONES], "float64"))
def test_in_float64_the_step_is_the_same_to_rounding(name, split):
    with jax.enable_x64(True):
        assert_same(name, split, "float64", 1e-9)
