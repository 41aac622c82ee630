"""Both normalisations against their definitions, and that micro-batches never change them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from models import plain

from jaxssl import config
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


@pytest.mark.parametrize(
    "change", [{"type": "layer"}, {"group": 0}, {"channel_groups": 0}, {"epsilon": 0.0}, {"momentum": 1.0}]
)
def test_impossible_options_are_refused(change):
    Norm().check()
    with pytest.raises(UserError, match=f"norm.{next(iter(change))}="):
        Norm(**change).check()


@functools.partial(jax.jit, static_argnums=(2, 3))
def grouped(x, params, groups, dtype=jnp.float32):
    """Group normalisation as a module, which leaves nothing behind and needs no statistics."""
    layer = Norm("group", channel_groups=groups).layer(7, dtype, "norm")
    y, changed = layer.apply({"params": params}, x, True, mutable=True)
    assert set(changed) == {"params"}
    return y


def of_channels(count):
    return {"scale": jnp.linspace(-1.0, 2.0, count), "bias": jnp.linspace(0.5, -0.5, count)}


@pytest.mark.parametrize(("channels", "asked", "made"), [(6, 2, 2), (8, 3, 2), (6, 32, 3), (10, 7, 5), (7, 4, 1)])
def test_each_group_of_channels_of_each_sample_is_normalised_apart(channels, asked, made):
    x = np.random.default_rng(3).normal(2.0, 3.0, (5, 4, 3, channels)).astype(np.float32)
    params = of_channels(channels)
    wanted = plain.by_channels(made)(np.float64(x), params)
    np.testing.assert_allclose(grouped(x, params, asked), wanted, atol=3e-6)
    alone = grouped(x[2:3], params, asked)
    np.testing.assert_allclose(alone, wanted[2:3], atol=3e-6)


def test_group_norm_and_its_gradient_are_those_of_flax_in_float64():
    with jax.enable_x64(True):
        random = np.random.default_rng(4)
        x, weights = random.normal(1.0, 2.0, (2, 3, 5, 4, 6))
        params = jax.tree.map(np.float64, of_channels(6))
        theirs = nn.GroupNorm(3, epsilon=EPSILON, use_fast_variance=False, param_dtype=jnp.float64)
        ours, wanted = (
            jax.jit(jax.value_and_grad(lambda p, x, f=f: (f(p, x) * weights).sum(), argnums=(0, 1)))(params, x)
            for f in (lambda p, x: grouped(x, p, 3, jnp.float64), lambda p, x: theirs.apply({"params": p}, x))
        )
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
            assert a.dtype == jnp.float64
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_group_norm_takes_rows_of_channels_too_and_bfloat16_in_float32():
    rows = np.random.default_rng(5).normal(50.0, 1.0, (4, 8)).astype(jnp.bfloat16)
    params = of_channels(8)
    y = grouped(rows, params, 2, jnp.bfloat16)
    assert y.dtype == jnp.bfloat16
    wanted = plain.by_channels(2)(np.float64(rows)[:, None, None], params)[:, 0, 0]
    np.testing.assert_allclose(np.float64(y), wanted, atol=2**-8 * np.abs(wanted).max())


def test_a_large_mean_does_not_spoil_the_variance_within_a_sample(images):
    params = parameters()
    np.testing.assert_allclose(grouped(images + 4096.0, params, 1), grouped(images, params, 1), atol=2e-3)


def test_one_value_a_sample_is_refused():
    with pytest.raises(UserError, match="one value a sample"):
        grouped(np.ones((4, 1), np.float32), of_channels(1), 32)


@pytest.mark.parametrize("type", ["batch", "group"])
def test_a_layer_begins_with_the_scale_that_is_asked_for(images, type):
    layer = Norm(type, group=2).layer(2, jnp.float32, "norm", scale=0.0)
    params = layer.init(jax.random.key(0), images, True)["params"]
    np.testing.assert_array_equal(params["scale"], np.zeros(3))
    np.testing.assert_array_equal(params["bias"], np.zeros(3))


def test_samples_share_statistics_and_take_biases_away_in_batches_only():
    batch, group = Norm(group=12), Norm("group", group=12)
    assert (batch.samples, group.samples) == (12, 1)
    assert (batch.takes_bias_away, group.takes_bias_away) == (True, False)
    assert config.from_dict(config.to_dict(group), "here") == group
