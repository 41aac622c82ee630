"""The contract kit on one device: samples stand alone, bad steps are left out, half precision is near, parts travel.

What a method needs compiled is compiled once for all of its tests: they come one after the other, method by method.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl import recipe
from jaxssl.methods.base import Method
from jaxssl.methods.parts import adopt
from jaxssl.train.checkpoint import Checkpoints
from jaxssl.train.keys import named_key, sample_keys
from jaxssl.train.mesh import make_mesh, put_batch
from jaxssl.train.state import State, abstract_state, create_state
from jaxssl.train.step import Schedule, loss_and_gradient, make_step

PLAN = Schedule(steps=10, steps_per_epoch=4)
START = PLAN.progress(jnp.zeros((), jnp.int32))
OPTIMISER = optax.adamw(1e-3)
MESH = make_mesh(jax.devices()[:1])
SEED = 3


def keys_of(batch, name="views"):
    return sample_keys(SEED, name, START.step, batch["place"])


def only(batch, index):
    return jax.tree.map(lambda x: x[index : index + 1], batch)


@dataclass(frozen=True)
class Begun:
    """A method before its first step, on a batch."""

    case: recipe.Recipe
    method: Method
    batch: dict
    views: Callable
    step: Callable

    @cached_property
    def abstract(self) -> State:
        views = jax.eval_shape(self.views, keys_of(self.batch), self.batch, START)
        return abstract_state(self.method, OPTIMISER, SEED, views, MESH)

    @cached_property
    def first(self) -> State:
        """The first state, as numpy."""
        views = jax.eval_shape(self.views, keys_of(self.batch), self.batch, START)
        return jax.device_get(create_state(self.method, OPTIMISER, SEED, views, self.abstract))

    def state(self) -> State:
        """The first state on the device, to be donated."""
        return jax.device_put(self.first, jax.tree.map(lambda leaf: leaf.sharding, self.abstract), may_alias=False)


@pytest.fixture(scope="module", params=cases.KIT)
def begun(request) -> Begun:
    case = cases.quick(request.param)
    method = cases.method_of(case)
    step = make_step(method, OPTIMISER, lambda _: 1e-3, PLAN, MESH)
    return Begun(case, method, cases.batch_of(case), jax.jit(method.views), step)


def test_a_network_is_made_by_the_shapes_of_its_views_alone(begun):
    """An argument whose values nobody needs is none of the program's."""
    views = jax.eval_shape(begun.views, keys_of(begun.batch), begun.batch, START)
    program = jax.jit(begun.method.init).lower(named_key(SEED, "init"), views).as_text()
    arguments, _, _ = program.partition("@main(")[2].partition(") ->")
    assert arguments.count("%arg") == 1


def test_a_sample_alone_equals_itself_in_a_batch(begun):
    """In float64, where a fault shows and rounding does not: small groups of normalisation enlarge it."""
    with jax.enable_x64(True):
        case = cases.with_group(begun.case, 1)
        method = cases.method_of(case, jnp.float64)
        batch = cases.in_precision(cases.batch_of(case, 64), "float64")
        begin = cases.in_precision((begun.first.params, begun.first.carry), "float64")

        @jax.jit
        def see(params, carry, batch):
            views = method.views(keys_of(batch), batch, START)
            seen = method.forward(params, carry, views, keys_of(batch, "forward"), START)
            return views, seen.outputs, seen.fixed

        whole, alone = (jax.tree.leaves(see(*begin, part)) for part in (batch, only(batch, 5)))
        assert any(leaf.dtype == jnp.float64 for leaf in whole)
        for of_many, of_one in zip(whole, alone, strict=True):
            np.testing.assert_allclose(np.float64(of_many[5]), np.float64(of_one[0]), rtol=1e-9, atol=1e-9)


def test_a_step_that_is_not_finite_changes_nothing_but_the_counts(begun):
    batch, step = begun.batch, begun.step
    state, _ = step(begun.state(), put_batch(MESH, batch))
    before = jax.device_get(state)
    state, log = step(state, put_batch(MESH, {**batch, "mean": np.full_like(batch["mean"], np.nan)}))
    after = jax.device_get(state)
    assert not np.isfinite(log["loss"])
    assert (after.step, after.skipped, after.skipped_in_a_row) == (2, 1, 1)
    jax.tree.map(
        np.testing.assert_array_equal,
        (before.params, before.carry, before.moments),
        (after.params, after.carry, after.moments),
    )
    state, log = step(state, put_batch(MESH, batch))
    assert np.isfinite(log["loss"])
    assert (int(state.step), int(state.skipped), int(state.skipped_in_a_row)) == (3, 1, 0)
    assert any(
        np.any(a != b) for a, b in zip(jax.tree.leaves(after.params), jax.tree.leaves(state.params), strict=True)
    )


def test_half_precision_is_near(begun):
    half, batch, first = cases.method_of(begun.case, jnp.bfloat16), begun.batch, begun.first
    views = jax.eval_shape(half.views, keys_of(batch), batch, START)
    kept = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), jax.eval_shape(half.init, jax.random.key(0), views))
    assert kept == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), (first.params, first.carry))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(first.params))

    def loss(params, carry, batch):
        return loss_and_gradient(half, params, carry, batch, START, SEED, 1, MESH)[0]

    # At level 0, which the tests set, XLA of jax 0.10 makes nan of one of these programs (byol) on a CPU.
    compiled = jax.jit(loss, compiler_options={"xla_backend_optimization_level": 1})
    _, log = begun.step(begun.state(), put_batch(MESH, batch))
    assert float(compiled(first.params, first.carry, batch)) == pytest.approx(float(log["loss"]), rel=1e-2)


def test_another_step_and_another_seed_draw_other_views(begun):
    draws = [
        begun.views(sample_keys(seed, "views", jnp.int32(step), begun.batch["place"]), begun.batch, START)
        for seed, step in ((0, 0), (0, 1), (1, 0))
    ]
    first, *others = [np.concatenate([np.float64(x).ravel() for x in jax.tree.leaves(draw)]) for draw in draws]
    assert all(np.mean(first != other) > 0.1 for other in others)


def test_parts_can_be_handed_on(begun):
    state = begun.first
    parts = begun.method.parts(state.params, state.carry)
    assert "encoder" in parts
    marked = jax.tree.map(lambda x: x + 1, parts["encoder"])
    params, carry = adopt(state.params, state.carry, {"encoder": marked})
    jax.tree.map(np.testing.assert_array_equal, params["encoder"], marked["params"])
    jax.tree.map(np.testing.assert_array_equal, carry["statistics"]["encoder"], marked["statistics"])
    others = {part: leaves for part, leaves in params.items() if part != "encoder"}
    jax.tree.map(np.testing.assert_array_equal, others, {part: state.params[part] for part in others})


def test_a_restored_run_goes_on_to_the_bit(begun, tmp_path):
    batches = [cases.batch_of(begun.case, seed=number) for number in range(4)]

    def go_on(state, numbers):
        for number in numbers:
            state, _ = begun.step(state, put_batch(MESH, batches[number]))
        return state

    with Checkpoints(tmp_path, keep=1, warn=pytest.fail) as checkpoints:
        checkpoints.save(2, go_on(begun.state(), range(2)), {})
    with Checkpoints(tmp_path, keep=1, warn=pytest.fail) as checkpoints:
        restored = checkpoints.restore(begun.abstract)
    assert restored is not None
    undisturbed = go_on(begun.state(), range(4))
    jax.tree.map(np.testing.assert_array_equal, undisturbed, go_on(restored.state, range(2, 4)))
