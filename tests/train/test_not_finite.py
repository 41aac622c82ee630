"""Numbers that are none: what made them is named, and a step that has them changes nothing but the counts."""

from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.train.blame import blame
from jaxssl.train.mesh import make_mesh, put_batch
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule, make_step, masked_gradient

PLAN = Schedule(steps=10, steps_per_epoch=4)
MESH = make_mesh(jax.devices()[:1])
OPTIMISER = optax.adamw(1e-3)
CASE = cases.quick("simclr")


def loop_of_logs(x):
    def turn(total, value):
        return total + jnp.log(value), jnp.exp(total)

    return jax.lax.scan(turn, x[0], x)[0]


def masked_away(x):
    """A maximum that is begun at minus infinity, and an overflow in a function of its own."""
    kept = jnp.where(jnp.arange(len(x)) > 0, x, -jnp.inf)
    return jax.nn.logsumexp(kept) + jax.jit(lambda a: jnp.exp(a) * jnp.exp(a))(x).sum()


def in_a_branch(x):
    return jax.lax.cond(x[0] > 0, jnp.sum, lambda y: jnp.sqrt(y - 1).sum(), x)


@pytest.mark.parametrize(
    ("function", "x", "operation", "given"),
    [
        (loop_of_logs, [1.0, 2.0, -3.0, 0.0], "log", -3.0),
        (masked_away, [1.0, 60.0], "mul", np.exp([1.0, 60.0])),
        (in_a_branch, [-3.0, 3.0], "sqrt", [-4.0, 2.0]),
        (jnp.linalg.norm, [0.0, 0.0], "div", 0.5),  # of the gradient: the norm itself is 0
        (lambda x: jnp.square(x.astype(jnp.float16)).sum().astype(jnp.float32), [3.0, 300.0], "integer_pow", [3, 300]),
    ],
)
def test_the_first_operation_at_fault_is_found_with_what_it_was_given(function, x, operation, given):
    blamed = blame(jax.value_and_grad(function), jnp.array(x))
    assert blamed is not None
    found = "integer_pow" if blamed.operation == "square" else blamed.operation
    assert found == operation
    np.testing.assert_allclose(blamed.given[0].astype(np.float64), given, rtol=1e-5)
    assert not all(np.isfinite(value).all() for value in blamed.made)


@pytest.mark.parametrize("function", [loop_of_logs, masked_away, in_a_branch])
def test_where_all_is_finite_nothing_is_blamed(function):
    assert blame(jax.value_and_grad(function), jnp.array([1.0, 2.0])) is None


def state_and_batch(dtype=jnp.float32):
    method, batch = cases.method_of(CASE, dtype), cases.batch_of(CASE, 32)
    views = jax.jit(method.views)(jax.random.split(jax.random.key(0), 32), batch, PLAN.progress(jnp.int32(0)))
    abstract = abstract_state(method, OPTIMISER, 3, views, MESH)
    return method, create_state(method, OPTIMISER, 3, views, abstract), batch


def test_of_a_step_in_two_pieces_the_layer_is_named():
    """The operation lies within a loop over the pieces."""
    method, state, batch = state_and_batch()
    plan = replace(PLAN, micro_batches=2)

    def decisive(state, batch):
        return masked_gradient(method, plan, MESH, state, batch)[0]

    too_large = jax.tree.map(lambda leaf: leaf * 1e38, state.params)
    blamed = blame(decisive, replace(state, params=too_large), batch)
    assert blamed is not None
    assert blamed.operation == "conv_general_dilated"
    assert "level0" in blamed.within
    missing = {**batch, "mean": np.full_like(batch["mean"], np.nan)}
    of_data = blame(decisive, state, missing)
    assert of_data is not None
    leaves = [path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(batch)]
    assert (of_data.operation, leaves[of_data.argument - len(jax.tree.leaves(state))]) == ("argument", "mean")


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_an_overflow_is_left_out_and_images_without_contrast_are_learnt_from(dtype):
    method, state, batch = state_and_batch(dtype)
    step = make_step(method, OPTIMISER, lambda _: 1e-3, PLAN, MESH)
    before = jax.device_get(state)
    # Subjects of 1e-38 of contrast: standardised, their pixels are beyond any number of the type.
    state, log = step(state, put_batch(MESH, {**batch, "std": np.full_like(batch["std"], 1e-38)}))
    after = jax.device_get(state)
    assert not np.isfinite(log["loss"])
    assert (after.step, after.skipped, after.skipped_in_a_row) == (1, 1, 1)
    kept = [(s.params, s.carry, s.moments) for s in (before, after)]
    jax.tree.map(np.testing.assert_array_equal, *kept)

    flat = {**batch, "image": np.full_like(batch["image"], 900), "std": np.ones_like(batch["std"])}
    state, log = step(state, put_batch(MESH, flat))
    assert np.isfinite([log["loss"], log["gradient_norm"]]).all()
    assert (int(state.step), int(state.skipped), int(state.skipped_in_a_row)) == (2, 1, 0)
