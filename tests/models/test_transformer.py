"""A transformer block against its equations, and which branches are left out."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy.special import erf

from jaxssl.models.transformer import Block, run_blocks


def test_a_block_is_what_its_equations_say():
    x = np.random.default_rng(0).normal(size=(2, 5, 8))
    block = Block(heads=2, hidden=12, layer_scale=0.1, dtype=jnp.float32)
    shapes = jax.eval_shape(lambda x: block.init(jax.random.key(0), x, None, 0.0), jnp.asarray(x, jnp.float32))
    draw = np.random.default_rng(1).normal
    params = jax.tree.map(lambda leaf: jnp.asarray(0.3 * draw(size=leaf.shape), jnp.float32), shapes["params"])
    p = jax.tree.map(np.float64, params)

    def norm(x, by):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * by["scale"] + by["bias"]

    def linear(x, by):
        return x @ by["kernel"] + by["bias"]

    y = linear(norm(x, p["attention_norm"]), p["attention"]["qkv"])
    heads = []
    for head in range(2):
        q, k, v = (y[..., part * 8 + head * 4 : part * 8 + head * 4 + 4] for part in range(3))
        weights = np.exp(q @ k.transpose(0, 2, 1) / 2.0)
        heads.append(weights / weights.sum(-1, keepdims=True) @ v)
    x1 = x + p["attention_scale"] * linear(np.concatenate(heads, -1), p["attention"]["out"])
    hidden = linear(norm(x1, p["mlp_norm"]), p["mlp"]["in"])
    hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
    expected = x1 + p["mlp_scale"] * linear(hidden, p["mlp"]["out"])
    got, _ = block.apply({"params": params}, jnp.asarray(x, jnp.float32), None, 0.0)
    np.testing.assert_allclose(got, expected, atol=2e-6 * np.abs(expected).max())


class Run(nn.Module):
    """Three blocks of width 3, in which a block's perceptron can be made to add 1 to a channel of its own."""

    scan: bool

    @nn.compact
    def __call__(self, x, keys):
        options = {"heads": 1, "hidden": 1, "layer_scale": None, "dtype": jnp.float32}
        return run_blocks(x, keys, depth=3, drop_path=0.6, remat=False, scan=self.scan, **options)[0]


@pytest.mark.parametrize("scan", [False, True])
def test_stochastic_depth_rises_from_nothing_by_layer_and_keeps_the_expectation(scan):
    n, x = 2000, jnp.zeros((2000, 2, 3))
    shapes = jax.eval_shape(lambda: Run(scan).init(jax.random.key(0), x[:1], None)["params"])
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
    if scan:
        params["blocks"]["mlp"]["out"]["bias"] = jnp.eye(3)
    else:
        for layer in range(3):
            params[f"block{layer}"]["mlp"]["out"]["bias"] = jnp.eye(3)[layer]
    y = np.asarray(jax.jit(Run(scan).apply)({"params": params}, x, jax.random.split(jax.random.key(7), n)))
    np.testing.assert_array_equal(y[:, 0], y[:, 1])  # the branch of a sample goes as a whole
    for layer, rate in enumerate((0.0, 0.3, 0.6)):
        gone = y[:, 0, layer] == 0
        assert abs(gone.mean() - rate) <= 4 * np.sqrt(rate * (1 - rate) / n)
        np.testing.assert_allclose(y[~gone, 0, layer], 1 / (1 - rate), rtol=1e-6)
    second, third = (y[:, 0, layer] == 0 for layer in (1, 2))
    assert abs((second & third).mean() - 0.18) < 4 * np.sqrt(0.18 * 0.82 / n)  # layers draw independently


def operands_of_loops(depth: int) -> int:
    """What the loops of a compiled gradient read, counted over all of them."""
    block = Block(heads=2, hidden=32, layer_scale=None, dtype=jnp.float32)
    x, still = jnp.ones((3, 5, 16)), jnp.zeros(())
    params = [block.init(jax.random.key(layer), x, None, still) for layer in range(depth)]

    def loss(params, x):
        for of_block in params:
            x, _ = block.apply(of_block, x, None, still)
        return x.sum()

    program = jax.jit(jax.grad(loss)).lower(params, x).compile().as_text()
    return sum(read.count("%") for read in re.findall(r" fusion\(([^)]*)\), kind=kLoop", program))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="It is the compiler for CPUs that would do more.")
def test_work_on_a_cpu_grows_with_the_depth_and_not_with_its_square():
    """The sum that runs past all branches is computed once, and not by every layer that reads it."""
    shallow, middle, deep = map(operands_of_loops, (2, 6, 10))
    assert 0 < shallow < middle
    assert deep - middle <= 1.1 * (middle - shallow)
