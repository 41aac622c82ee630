"""What is frozen for a while: it does not move, is not remembered, and leaves a clip to the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden.rows import made

from jaxssl.methods.base import Method, Seen
from jaxssl.train.mesh import make_mesh, put_batch
from jaxssl.train.optim import Optim, learning_rate, make_optimiser
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule, make_step


def regression(frozen_until):
    """A method with two linear layers, the first of them frozen before a step."""

    def forward(params, carry, views, keys, progress):
        layers = params["encoder"]
        return Seen(views @ layers["level0"] @ layers["level1"] @ params["head"], views.sum(1, keepdims=True), {})

    def trainable(params, progress):
        return {"encoder": {"level0": progress.step >= frozen_until, "level1": True}, "head": True}

    return Method(
        views=lambda keys, batch, progress: batch["image"],
        init=lambda key, views: (
            {"encoder": {"level0": made(3, 3, 0.1), "level1": made(3, 3, 0.7)}, "head": made(3, 1, 0.2)}, {},
        ),
        forward=forward,
        objective=lambda params, carry, seen, batch, progress: (jnp.square(seen.outputs - seen.fixed).mean(), {}),
        update=lambda params, carry, statistics, moments, progress: carry,
        parts=lambda params, carry: params,
        trainable=trainable,
    )  # fmt: skip


def begun(options, frozen_until=2):
    """The state of a run whose first layer is frozen for so many steps, and its step."""
    method, mesh, plan = regression(frozen_until), make_mesh(), Schedule(steps=10, steps_per_epoch=5)
    optimiser, views = make_optimiser(options, 10), jnp.asarray(made(8, 3, 0.0))
    state = create_state(method, optimiser, 0, views, abstract_state(method, optimiser, 0, views, mesh))
    step = make_step(method, optimiser, learning_rate(options, 10), plan, mesh)
    batch = put_batch(mesh, {"image": made(8, 3, 0.0), "place": np.arange(8, dtype=np.int32)})
    return state, lambda state: step(state, batch)[0]


@pytest.mark.parametrize("clip", ["clip_norm", "clip_parameter"])
def test_a_clip_does_not_see_frozen_gradients(clip):
    """Steps of SGD at rate 1 are as long as the clipped gradient: what is trained has the whole bound for itself."""
    state, step = begun(Optim("sgd", lr=1.0, schedule="constant", momentum=0.0, **{clip: 1e-3}))
    before = jax.device_get(state.params)
    moved = jax.tree.map(lambda a, b: np.linalg.norm(a - b), before, jax.device_get(step(state).params))
    lengths = {"frozen": moved["encoder"]["level0"], "level1": moved["encoder"]["level1"], "head": moved["head"]}
    together = np.hypot(lengths["level1"], lengths["head"])
    assert lengths["frozen"] == 0
    if clip == "clip_norm":
        assert together == pytest.approx(1e-3, rel=1e-3)
    else:
        assert [lengths["level1"], lengths["head"]] == pytest.approx([1e-3, 1e-3], rel=1e-3)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars", "lamb"])
def test_a_frozen_layer_keeps_weights_and_moments_under_decay_until_it_thaws(name):
    """Neither weight decay nor a trust ratio moves it, nor what moments would remember."""
    more = {"weight_decay_end": 0.4, "layer_decay": 0.5, "clip_norm": 1e9, "clip_parameter": 1e-2}
    options = Optim(name, lr=0.01, schedule="constant", weight_decay=0.3, **more)
    state, step = begun(options)

    def first_layer(tree):
        found = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if "level0" in str(path)]
        assert found
        return jax.device_get(found)

    first = first_layer(state.params), first_layer(state.moments), np.asarray(state.params["encoder"]["level1"])
    for _ in range(2):
        state = step(state)
    jax.tree.map(np.testing.assert_array_equal, first[:2], (first_layer(state.params), first_layer(state.moments)))
    assert np.abs(first[2] - state.params["encoder"]["level1"]).max() > 1e-6
    state = step(state)
    assert np.abs(first[0][0] - first_layer(state.params)[0]).max() > 1e-6
    assert any(np.abs(leaf).max() > 0 for leaf in first_layer(state.moments))


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_what_thaws_after_1400_steps_begins_as_adam_does(name):
    """Its first three steps are Adam's first three, by hand, of the gradients that it then has."""
    state, step = begun(Optim(name, lr=1e-5, schedule="constant", weight_decay=0.3), frozen_until=1400)
    x = made(8, 3, 0.0)

    @jax.jit
    @jax.grad
    def gradient(first, rest):
        return jnp.square(x @ first @ rest["encoder"]["level1"] @ rest["head"] - x.sum(1, keepdims=True)).mean()

    for _ in range(1400):
        state = step(state)
    mean, square, eps = 0.0, 0.0, 1e-6 if name == "lamb" else 1e-8
    for t in (1, 2, 3):
        before = jax.device_get(state.params)
        g = np.float64(gradient(before["encoder"]["level0"], before))
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
        first = np.float64(before["encoder"]["level0"])
        # LAMB's steps have one length, but with decay their direction tells as well.
        direction = (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + eps) + 0.3 * first
        length = np.linalg.norm(first) / np.linalg.norm(direction) if name == "lamb" else 1.0
        state = step(state)
        # What a step of 1e-5 leaves of float32's digits.
        np.testing.assert_allclose(state.params["encoder"]["level0"] - first, -1e-5 * length * direction, atol=1e-7)
