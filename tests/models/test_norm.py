"""Grouped batch normalisation against its definition, and that micro-batches never change it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.errors import UserError
from jaxssl.models.norm import GroupedBatchNorm, Norm, running

EPSILON = 1e-5


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(3.0, 2.0, (6, 5, 4, 3)).astype(np.float32)


def parameters():
    return {"scale": jnp.array([1.0, 2.0, -0.5]), "bias": jnp.array([0.0, 0.3, 1.0])}


def train(x, rows, params=None, dtype=jnp.float32):
    module = GroupedBatchNorm(rows, EPSILON, dtype)
    y, collections = module.apply({"params": params or parameters()}, x, True, mutable=["moments"])
    return y, collections["moments"]


def definition(x, scale, bias):
    """What torch's BatchNorm2d does to one batch, channels last, in float64."""
    x = np.asarray(x, np.float64)
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(var + EPSILON) * scale + bias


def test_each_group_is_a_batch_of_its_own(images):
    params = parameters()
    y, moments = train(images, rows=2)
    for start in (0, 2, 4):
        expected = definition(images[start : start + 2], *(np.asarray(params[n]) for n in ("scale", "bias")))
        np.testing.assert_allclose(y[start : start + 2], expected, atol=2e-6)
    groups = images.reshape(3, 2 * 5 * 4, 3).astype(np.float64)
    np.testing.assert_allclose(moments["mean"], groups.mean(1).sum(0), rtol=1e-6)
    np.testing.assert_allclose(moments["var"], groups.var(1, ddof=1).sum(0), rtol=1e-6)
    assert moments["count"] == 3


def test_gradient_equals_that_of_the_definition(images):
    weights = jnp.asarray(np.random.default_rng(1).normal(size=images.shape), jnp.float32)

    def plain(params, x):
        parts = []
        for group in jnp.split(x, 3):
            centred = group - group.mean((0, 1, 2))
            parts.append(centred / jnp.sqrt((centred**2).mean((0, 1, 2)) + EPSILON) * params["scale"] + params["bias"])
        return (jnp.concatenate(parts) * weights).sum()

    ours = jax.grad(lambda p, x: (train(x, 2, p)[0] * weights).sum(), argnums=(0, 1))(parameters(), images)
    theirs = jax.grad(plain, argnums=(0, 1))(parameters(), jnp.asarray(images))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()))


@pytest.mark.parametrize("micro_batches", [1, 3])
def test_micro_batches_of_whole_groups_change_nothing(images, micro_batches):
    whole, moments = train(images, rows=2)
    parts = [train(part, rows=2) for part in np.split(images, micro_batches)]
    np.testing.assert_allclose(np.concatenate([y for y, _ in parts]), whole, atol=1e-6)
    summed = jax.tree.map(lambda *leaves: sum(leaves), *(m for _, m in parts))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), summed, moments)


def test_a_large_mean_does_not_spoil_the_variance(images):
    """The one-pass form E[x^2] - E[x]^2 loses every digit here."""
    y, _ = train(images + 4096.0, rows=6)
    expected, _ = train(images, rows=6)
    np.testing.assert_allclose(y, expected, atol=2e-3)


def test_running_statistics_move_once_and_are_used_in_evaluation(images):
    module = GroupedBatchNorm(2, EPSILON)
    variables = module.init(jax.random.key(0), images, True)
    np.testing.assert_array_equal(variables["moments"]["count"], 0)
    _, moments = train(images, rows=2)
    statistics = running({"norm": variables["statistics"]}, {"norm": moments}, 0.9)["norm"]
    groups = images.reshape(3, 40, 3).astype(np.float64)
    mean, var = 0.1 * groups.mean(1).mean(0), 0.9 + 0.1 * groups.var(1, ddof=1).mean(0)
    np.testing.assert_allclose(statistics["mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(statistics["var"], var, rtol=1e-6)
    y = module.apply({"params": parameters(), "statistics": statistics}, images[:1], False)
    expected = (images[:1] - mean) / np.sqrt(var + EPSILON) * [1.0, 2.0, -0.5] + [0.0, 0.3, 1.0]
    np.testing.assert_allclose(y, expected, atol=3e-6)


def test_a_module_that_saw_nothing_keeps_its_statistics():
    still = {"mean": jnp.ones(2), "var": jnp.ones(2)}
    moved = running({"seen": still, "unseen": still}, {"seen": {**still, "count": 2.0}}, 0.0)
    np.testing.assert_array_equal(moved["unseen"]["mean"], [1, 1])
    np.testing.assert_array_equal(moved["seen"]["mean"], [0.5, 0.5])


def test_two_calls_in_one_pass_add_their_moments(images):
    module = GroupedBatchNorm(2)
    twice = module.apply(
        {"params": parameters()}, images, mutable=["moments"], method=lambda m, x: (m(x, True), m(x, True))
    )[1]["moments"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 2 * b, rtol=1e-6), twice, train(images, rows=2)[1])


def test_statistics_of_bfloat16_are_taken_in_float32(images):
    y, moments = train(jnp.asarray(images, jnp.bfloat16), rows=6, dtype=jnp.bfloat16)
    assert y.dtype == jnp.bfloat16
    rounded = np.asarray(jnp.asarray(images, jnp.bfloat16), np.float64)
    np.testing.assert_allclose(moments["mean"], rounded.mean((0, 1, 2)), rtol=1e-6)


def test_impossible_groups_are_refused(images):
    with pytest.raises(UserError, match="groups of 4"):
        train(images, rows=4)
    with pytest.raises(UserError, match="no variance"):
        train(images[:, :1, :1], rows=1)


@pytest.mark.parametrize("change", [{"group": 0}, {"epsilon": 0.0}, {"momentum": 1.0}])
def test_impossible_options_are_refused(change):
    Norm().check()
    with pytest.raises(UserError, match=f"norm.{next(iter(change))}="):
        Norm(**change).check()
