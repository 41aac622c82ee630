"""Optimisers and schedules against closed forms and published values."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.train.optim import Optim, learning_rate, make_optimiser


def mk(rows, columns, phase):
    """The input convention of the golden values."""
    i, j = np.mgrid[:rows, :columns]
    return np.sin(0.37 * (i * columns + j) + phase).astype(np.float32)


def test_warm_up_then_cosine():
    rate = learning_rate(Optim(lr=2.0, warmup=0.1), steps=100)
    assert [float(rate(t)) for t in (0, 5, 10)] == pytest.approx([0.0, 1.0, 2.0])
    assert float(rate(55)) == pytest.approx(1.0)
    assert float(rate(100)) == pytest.approx(0.0, abs=1e-7)


def test_polynomial_falls_with_power_nine_tenths():
    rate = learning_rate(Optim(lr=0.01, schedule="polynomial"), steps=1000)
    for t in (0, 1, 500, 999):
        assert float(rate(t)) == pytest.approx(0.01 * (1 - t / 1000) ** 0.9, rel=1e-4)


def test_lars_equals_the_published_two_steps():
    """Values of MAE's LARS: learning rate .3, weight decay .01; vectors are neither decayed nor rescaled."""
    params = {"w": jnp.asarray(mk(3, 4, 0.5)), "b": jnp.asarray(mk(1, 4, 0.1)[0])}
    optimiser = make_optimiser(Optim("lars", lr=0.3, schedule="constant", weight_decay=0.01), steps=10)
    state = optimiser.init(params)
    for i in range(2):
        gradient = {"w": jnp.asarray(mk(3, 4, 1.5 + i)), "b": jnp.asarray(mk(1, 4, 2.5 + i)[0])}
        updates, state = optimiser.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params["w"][0], [0.4786659, 0.7637056, 0.9453813, 0.9991041], rtol=1e-6)
    np.testing.assert_allclose(params["b"], [-0.1360607, 0.4996792, 1.0677899, 1.4913805], rtol=1e-6)


def test_sgd_decays_through_the_momentum_with_nesterov():
    """Two steps by hand: g' = g + wd p; v = m v + g'; p -= lr (g' + m v)."""
    options = Optim("sgd", lr=0.1, schedule="constant", weight_decay=0.5, momentum=0.9, nesterov=True)
    optimiser, params = make_optimiser(options, 10), {"w": jnp.array([[2.0]]), "b": jnp.array([2.0])}
    state = optimiser.init(params)
    hand = {"w": (2.0, 0.0), "b": (2.0, 0.0)}
    for g in (1.0, -3.0):
        updates, state = optimiser.update(jax.tree.map(lambda p, g=g: jnp.full_like(p, g), params), state, params)
        params = optax.apply_updates(params, updates)
        for name, decay in (("w", 0.5), ("b", 0.0)):
            p, v = hand[name]
            step = g + decay * p
            v = 0.9 * v + step
            hand[name] = (p - 0.1 * (step + 0.9 * v), v)
    for name in hand:
        assert float(params[name].ravel()[0]) == pytest.approx(hand[name][0], rel=1e-6)


@pytest.mark.parametrize(("decay", "moved"), [("weights", False), ("all", True)])
def test_vectors_are_decayed_only_when_asked(decay, moved):
    options = Optim("adamw", lr=0.1, schedule="constant", weight_decay=0.1, decay=decay)
    optimiser, params = make_optimiser(options, 10), {"b": jnp.ones(3)}
    updates, _ = optimiser.update({"b": jnp.zeros(3)}, optimiser.init(params), params)
    assert bool(jnp.any(updates["b"] != 0)) is moved


def test_clipping_bounds_the_global_norm():
    options = Optim("sgd", lr=1.0, schedule="constant", momentum=0.0, clip_norm=1.0)
    optimiser, params = make_optimiser(options, 10), {"a": jnp.zeros(4), "b": jnp.zeros((2, 2))}
    updates, _ = optimiser.update(jax.tree.map(lambda p: p + 3.0, params), optimiser.init(params), params)
    assert float(optax.tree.norm(updates)) == pytest.approx(1.0, rel=1e-6)
