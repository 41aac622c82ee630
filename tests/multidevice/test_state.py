"""What a device stores of the state, and of the average of the weights."""

from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.errors import UserError
from jaxssl.methods.base import Spec, build
from jaxssl.recipe import load_recipe
from jaxssl.train.mesh import SMALL, gathered, make_mesh, of_state, put_batch
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule, make_step


def described(recipe, mesh, averaged=False):
    method = build(recipe.method, recipe.model, Spec(recipe.data.layout.size))
    batch = {**cases.batch_of(recipe, 1), "mean": np.ones(1, np.float32)}
    views = jax.eval_shape(lambda b: method.views(jax.random.split(jax.random.key(0), 1), b, None), batch)
    return abstract_state(method, optax.adamw(1e-3), 0, views, mesh, averaged)


@pytest.mark.parametrize("recipe", ["simclr:study_b", "mim:study_b"])
@pytest.mark.parametrize(("devices", "fsdp"), [(8, 1), (8, 2), (8, 8), (4, 4)])
def test_a_device_stores_its_share_of_weights_moments_and_carry(recipe, devices, fsdp):
    state = described(load_recipe(recipe), make_mesh(jax.devices()[:devices], fsdp), averaged=True)

    def total(shape_of):
        return sum(np.prod(shape_of(leaf)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))

    whole, stored = total(lambda leaf: leaf.shape), total(lambda leaf: leaf.sharding.shard_shape(leaf.shape))
    assert whole > 3 * 4 * 14e6  # at least weights and two moments of the encoder
    assert stored == pytest.approx(whole / fsdp, rel=0.05)


@pytest.fixture
def stepped():
    """States of a small run with an average of its weights, divided over eight devices, as they come."""
    recipe = cases.with_group(load_recipe("mim:tiny"), 8)
    recipe = replace(recipe, model=replace(recipe.model, widths=(16, 32)))
    method, mesh = cases.method_of(recipe), make_mesh(fsdp=8)
    optimiser, key = optax.sgd(0.1, momentum=0.9), jax.random.key(0)
    plan = Schedule(steps=4, steps_per_epoch=4, average=0.5)
    views = jax.jit(method.views)(jax.random.split(key, 8), cases.batch_of(recipe, 8), plan.progress(jnp.int32(0)))
    abstract = abstract_state(method, optimiser, 0, views, mesh, averaged=True)
    state = create_state(method, optimiser, 0, views, abstract)
    step = make_step(method, optimiser, lambda step: 0.1, plan, mesh)

    def states(spoilt=()):
        nonlocal state
        yield state
        for number in range(4):
            batch = cases.batch_of(recipe, 16, seed=number)
            if number in spoilt:
                batch["mean"] = np.full_like(batch["mean"], np.nan)
            state, _ = step(state, put_batch(mesh, batch))
            yield state

    return states


def test_the_step_leaves_the_state_as_it_is_described(stepped):
    mesh = make_mesh(fsdp=8)
    for state in stepped():
        for leaf, described in zip(jax.tree.leaves(state), jax.tree.leaves(of_state(mesh, state)), strict=True):
            assert leaf.sharding.is_equivalent_to(described, leaf.ndim)
        large = [leaf for leaf in jax.tree.leaves(state) if leaf.size >= SMALL]
        assert large
        assert {leaf.nbytes // leaf.addressable_shards[0].data.nbytes for leaf in large} == {8}


def test_the_average_follows_the_weights_and_stands_still_when_a_step_is_left_out(stepped):
    mesh = make_mesh(fsdp=8)
    before, *after = [gathered(mesh, state) for state in stepped(spoilt=[2])]
    average = jax.tree.map(np.float64, {"params": before.params, "statistics": before.carry["statistics"]})
    for taken, state in zip([0, 1, None, 2], after, strict=True):
        if taken is not None:
            kept = min(0.5, (1 + taken) / (10 + taken))
            new = {"params": state.params, "statistics": state.carry["statistics"]}
            average = jax.tree.map(lambda a, w, kept=kept: kept * a + (1 - kept) * w, average, new)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), average, state.average)
    assert int(after[-1].skipped) == 1


def test_a_share_that_does_not_divide_the_devices_is_refused():
    with pytest.raises(UserError, match=r"train\.fsdp 3 does not divide the 8 devices; choose one of 1, 2, 4, 8\."):
        make_mesh(fsdp=3)
