"""The projector against numpy: normalised by its group in training and by running statistics otherwise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from models import plain

from jaxssl.models.heads import Projector
from jaxssl.models.norm import Norm

NORM = Norm(group=2, epsilon=1e-3)


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)


def started(head, rows) -> dict[str, Any]:
    """Parameters none of which is at its neutral value."""
    params = head.init(jax.random.key(0), rows, train=False)["params"]
    leaves, structure = jax.tree.flatten(params)
    random = np.random.default_rng(1)
    return structure.unflatten([random.normal(size=leaf.shape).astype(np.float32) for leaf in leaves])


@pytest.mark.parametrize("bias", [True, False])
def test_without_norm_activations_stand_between_linear_layers(rows, bias):
    head = Projector((7, 6, 4), activation="gelu", bias=bias)
    params, x = started(head, rows), jnp.asarray(rows)
    for index in range(3):
        layer = params[f"layer{index}"]
        assert ("bias" in layer) == (bias or index < 2)
        x = nn.gelu(x) if index else x
        x = jnp.matmul(x, layer["kernel"]) + layer.get("bias", 0)
    found: Any = head.apply({"params": params}, rows, train=True)
    np.testing.assert_allclose(found, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("train", [True, False])
def test_with_norm_each_group_of_rows_is_normalised_before_the_activation(rows, train):
    head = Projector((6, 3), norm=NORM, rows=4)
    params = started(head, rows)
    assert set(params["layer0"]) == {"kernel"}
    running = {"mean": np.linspace(-1, 1, 6), "var": np.linspace(0.5, 2, 6)}
    variables = {"params": params, "statistics": {"norm0": running}}
    result: Any = head.apply(variables, rows, train=train, mutable=["moments"])
    found, changed = result

    groups = np.matmul(rows, params["layer0"]["kernel"], dtype=np.float64).reshape(2, 4, 6)
    mean, var = (groups.mean(1, keepdims=True), groups.var(1, keepdims=True)) if train else running.values()
    norm = params["norm0"]
    hidden = ((groups - mean) / np.sqrt(var + NORM.epsilon) * norm["scale"] + norm["bias"]).reshape(8, 6)
    wanted = np.matmul(np.maximum(hidden, 0), params["layer1"]["kernel"]) + params["layer1"]["bias"]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    if train:
        np.testing.assert_allclose(changed["moments"]["norm0"]["mean"], groups.mean(1).sum(0), rtol=1e-4, atol=1e-5)
        assert changed["moments"]["norm0"]["count"] == 2


def test_with_groups_of_channels_each_row_is_normalised_by_itself_and_every_bias_trained(rows):
    head = Projector((6, 3), norm=Norm("group", channel_groups=2), rows=4)
    params = started(head, rows)
    first, last = params["layer0"], params["layer1"]
    hidden = rows @ first["kernel"] + first["bias"]
    hidden = plain.by_channels(2)(np.float64(hidden)[:, None, None], params["norm0"])[:, 0, 0]
    result: Any = head.apply({"params": params}, rows, train=True, mutable=["moments"])
    found, changed = result
    wanted = np.maximum(hidden, 0) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert not changed

    def loss(params):
        return jnp.square(jnp.asarray(head.apply({"params": params}, rows, train=True))).sum()

    gradient = jax.jit(jax.grad(loss))(params)
    assert np.abs(gradient["layer0"]["bias"]).max() > 1e-3


def test_activation_is_looked_up_when_called(rows, monkeypatch):
    """So that a test which makes rectifiers smooth reaches it."""
    head = Projector((6, 3))
    params = started(head, rows)
    monkeypatch.setattr(nn, "relu", jnp.zeros_like)
    found: Any = head.apply({"params": params}, rows, train=False)
    np.testing.assert_array_equal(np.asarray(found), np.tile(params["layer1"]["bias"], (8, 1)))
