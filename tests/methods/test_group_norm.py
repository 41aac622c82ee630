"""Every method on a backbone that is normalised over groups of channels: samples alone, and nothing to remember."""

from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import plain

from jaxssl import recipe
from jaxssl.models.norm import Norm
from jaxssl.train.keys import sample_keys
from jaxssl.train.mesh import make_mesh
from jaxssl.train.step import Schedule, loss_and_gradient

PLAN = Schedule(steps=10, steps_per_epoch=4)
SIZE = 5
"""Samples that no group of more than one divides."""
NAMES = [name for name in (*recipe.names(), "byol:normalised") if cases.tiny(name).model.norm is not None]


def case_of(name):
    case = cases.tiny(name)
    model = replace(case.model, norm=Norm("group", channel_groups=2))
    method = replace(case.method, projector=(8, 4)) if hasattr(case.method, "projector") else case.method
    method = replace(method, predictor=(8, 4)) if hasattr(case.method, "predictor") else method
    return replace(case, model=model, method=method)


def started(name, dtype=jnp.float32):
    """A method, a batch, the batch's views, and params and carry drawn by numpy."""
    case, start = case_of(name), PLAN.progress(jnp.zeros((), jnp.int32))
    method, batch = cases.method_of(case, dtype), cases.in_precision(cases.batch_of(case, SIZE), jnp.dtype(dtype).name)
    views = jax.eval_shape(lambda: method.views(sample_keys(3, "views", start.step, batch["place"]), batch, start))
    return method, batch, views, *plain.drawn(jax.eval_shape(method.init, jax.random.key(0), views))


@pytest.mark.parametrize("name", NAMES)
def test_there_are_neither_statistics_nor_moments_and_what_lives_on_keeps_its_form(name):
    method, batch, views, params, carry = started(name)
    start = PLAN.progress(jnp.zeros((), jnp.int32))

    def step(params, carry, views):
        keys = sample_keys(3, "forward", start.step, batch["place"])
        seen = method.forward(params, carry, views, keys, start)
        _, statistics = method.objective(params, carry, seen, batch, start)
        return seen.moments, method.update(params, carry, statistics, seen.moments, start)

    moments, after = jax.eval_shape(step, params, carry, views)
    assert not jax.tree.leaves((moments, carry["statistics"], carry.get("teacher", {}).get("statistics")))
    before = jax.eval_shape(lambda: carry)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    assert all(a.shape == b.shape for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True))


def test_byol_gives_one_gradient_whatever_the_micro_batches_and_leaves_no_parameter_out():
    """The method with most normalisation: in the encoder, the projector and the predictor, of student and teacher."""
    with jax.enable_x64(True):
        method, batch, _, params, carry = started("byol:normalised", jnp.float64)
        start, mesh = PLAN.progress(jnp.zeros((), jnp.int32)), make_mesh(jax.devices()[:1])

        def gradient(micro_batches):
            graded = jax.jit(lambda *given: loss_and_gradient(method, *given, start, 3, micro_batches, mesh))
            return graded(params, carry, batch)

        whole, apart = gradient(1), gradient(SIZE)
        np.testing.assert_allclose(apart[0], whole[0], rtol=1e-12)
        for a, b in zip(jax.tree.leaves(apart[3]), jax.tree.leaves(whole[3]), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9 * np.abs(b).max())
            assert np.abs(b).max() > 1e-9
