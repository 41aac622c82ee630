"""Sample by sample and all at once are the same; in a loop only what is drawn is computed."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxssl.augment.each import for_each
from jaxssl.augment.options import Augment
from jaxssl.augment.views import augment


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    """As many as are said, whatever this machine has: one unless a test says more."""
    there = {0}
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: there)
    return there


def test_views_made_one_after_the_other_are_those_made_at_once():
    with jax.enable_x64(True):
        images = jnp.asarray(np.random.default_rng(0).normal(size=(16, 20, 12, 2)))
        masks = (images[..., 0] > 0).astype(jnp.uint8)
        keys = jax.random.split(jax.random.key(0), 16)

        def one(key, sample):
            return augment(key, sample["image"], sample["mask"], jnp.ones(2), Augment(noise=0.5, blur=0.5), (8, 10))

        batch = {"image": images, "mask": masks}
        (views, moved), (wanted, moved_at_once) = (
            jax.jit(lambda *given, each=each: each(one, *given))(keys, batch)
            for each in (for_each, lambda function, *given: jax.vmap(function)(*given))
        )
    np.testing.assert_allclose(views, wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(moved, moved_at_once)


@pytest.mark.parametrize(("more", "expected"), [((), [3, 4]), ((1, 2), [0, 1, 2, 3, 4])])
def test_a_side_that_is_not_drawn_is_not_computed_on_few_cores(cores, more, expected):
    cores.update(more)
    computed = []

    def negative(x):
        jax.debug.callback(lambda x: computed.append(float(x)), x)
        return -x

    def one(x):
        return lax.cond(x > 2, negative, lambda x: x, x)

    np.testing.assert_array_equal(jax.jit(lambda xs: for_each(one, xs))(jnp.arange(5.0)), [0, 1, 2, -3, -4])
    jax.effects_barrier()
    assert sorted(computed) == expected
