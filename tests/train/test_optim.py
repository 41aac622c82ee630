"""Optimisers and schedules against closed forms and published values."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.errors import UserError
from jaxssl.methods.base import Method, Seen
from jaxssl.train.keys import named_key
from jaxssl.train.mesh import make_mesh, put_batch
from jaxssl.train.optim import Optim, learning_rate, make_optimiser
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule, make_step

NAMES = ["adamw", "sgd", "lars", "lamb"]


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


def lamb_by_hand(p, gradients, rate, decay, adapted):
    """You et al. 2020, algorithm 2: Adam's direction plus decay, times |p| / |direction|, in float64."""
    p, m, v = np.float64(p), 0.0, 0.0
    for t, g in enumerate(map(np.float64, gradients), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        direction = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6) + decay * p
        p = p - rate * direction * (np.linalg.norm(p) / np.linalg.norm(direction) if adapted else 1)
    return p


def stepped(options, params, gradients):
    """Params after a step for each gradient."""
    optimiser = make_optimiser(options, steps=10)
    state = optimiser.init(params)
    for gradient in gradients:
        updates, state = optimiser.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_lamb_equals_a_step_by_hand():
    params = {"w": mk(3, 4, 0.5), "b": mk(1, 4, 0.1)[0]}
    gradients = [{"w": mk(3, 4, 1.5 + i), "b": mk(1, 4, 2.5 + i)[0]} for i in range(3)]
    with jax.enable_x64(True):  # in float32 optax rounds 1 - 0.999^t to five digits
        wide = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (params, gradients))
        found = stepped(Optim("lamb", lr=0.3, schedule="constant", weight_decay=0.01), *wide)
    for name, decay, adapted in (("w", 0.01, True), ("b", 0.0, False)):
        wanted = lamb_by_hand(params[name], [g[name] for g in gradients], 0.3, decay, adapted)
        np.testing.assert_allclose(found[name], wanted, rtol=1e-9)


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_a_matrix_of_zeros_begins_to_move(name):
    found = stepped(Optim(name, lr=0.1, schedule="constant"), {"w": jnp.zeros((2, 2))}, [{"w": jnp.ones((2, 2))}])
    np.testing.assert_allclose(found["w"], -0.1, rtol=1e-5)


def transformer(layers, stacked):
    """Params and gradients named as a ViT's with a head, the blocks apart or stacked."""

    def tree(phase):
        kernels = [jnp.asarray(mk(4, 6, phase + i)) for i in range(layers)]
        biases = [jnp.asarray(mk(1, 6, phase - i)[0]) for i in range(layers)]
        apart = {f"block{i}": {"mlp": {"kernel": kernels[i], "bias": biases[i]}} for i in range(layers)}
        together = {"blocks": {"mlp": {"kernel": jnp.stack(kernels), "bias": jnp.stack(biases)}}}
        ends = {"patch": {"kernel": jnp.asarray(mk(2, 6, phase))}, "norm": {"scale": jnp.asarray(mk(1, 6, phase)[0])}}
        return {"encoder": ends | (together if stacked else apart), "head": {"kernel": jnp.asarray(mk(6, 2, phase))}}

    return tree(0.5), [tree(1.5 + t) for t in range(3)]


@pytest.mark.parametrize("layer_decay", [None, 0.75])
@pytest.mark.parametrize("name", NAMES)
def test_stacked_layers_are_trained_as_layers_apart(name, layer_decay):
    """Decay leaves out a stack of biases, a trust ratio belongs to one layer, and each layer has its own rate."""
    options = Optim(name, lr=0.05, schedule="constant", weight_decay=0.1, layer_decay=layer_decay)
    apart, stacked = (stepped(options, *transformer(4, stack)) for stack in (False, True))
    for layer in range(4):
        one = jax.tree.map(lambda leaf, layer=layer: leaf[layer], stacked["encoder"]["blocks"])
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), apart["encoder"][f"block{layer}"], one
        )
    jax.tree.map(np.testing.assert_array_equal, apart["head"], stacked["head"])


MAE_SCALES = {"patch": 0.023757264018058777, "block0": 0.75**12, "block11": 0.75, "norm": 1.0}
UNET_SCALES = {"level0": 0.75**3, "level1": 0.75**2, "level2": 0.75}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scales", [MAE_SCALES, UNET_SCALES], ids=["ViT of 12 blocks", "U-Net of 3 levels"])
def test_each_layer_moves_by_its_share_decay_of_weights_included(name, scales):
    """The published rates of MAE's fine-tuning: of 12 blocks and decay .75, patches have .75^13, and the head has 1."""
    depth = max(int(layer.strip("blockev")) + 1 for layer in scales if layer[-1].isdigit())
    kind = "block" if "block0" in scales else "level"
    layers = {layer: jnp.asarray(mk(3, 4, 0.5)) for layer in [*scales, *(f"{kind}{i}" for i in range(depth))]}
    params = {"encoder": layers, "decoder": {"level0": jnp.asarray(mk(3, 4, 0.5))}}
    gradient = jax.tree.map(lambda _: jnp.asarray(mk(3, 4, 1.5)), params)
    plain = Optim(name, lr=0.3, schedule="constant", weight_decay=0.1)
    optimiser = make_optimiser(plain, 10)
    whole, _ = optimiser.update(gradient, optimiser.init(params), params)
    optimiser = make_optimiser(Optim(name, 0.3, "constant", weight_decay=0.1, layer_decay=0.75), 10)
    shares, _ = optimiser.update(gradient, optimiser.init(params), params)
    for layer, scale in scales.items():
        np.testing.assert_allclose(shares["encoder"][layer], scale * whole["encoder"][layer], rtol=1e-6)
    np.testing.assert_array_equal(shares["decoder"]["level0"], whole["decoder"]["level0"])


@pytest.mark.parametrize("value", [0.0, -0.5, 1.01])
def test_a_layer_decay_out_of_range_is_refused(value):
    with pytest.raises(UserError, match="layer_decay"):
        Optim(layer_decay=value).check()


def test_a_layer_decay_without_layers_to_see_is_refused():
    params = {"encoder": {"kernel": jnp.ones((2, 2))}}
    optimiser = make_optimiser(Optim(layer_decay=0.5), 10)
    with pytest.raises(UserError, match="numbered layers"):
        optimiser.update(params, optimiser.init(params), params)


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
            {"encoder": {"level0": mk(3, 3, 0.1), "level1": mk(3, 3, 0.7)}, "head": mk(3, 1, 0.2)}, {},
        ),
        forward=forward,
        objective=lambda params, carry, seen, batch, progress: (jnp.square(seen.outputs - seen.fixed).mean(), {}),
        update=lambda params, carry, statistics, moments, progress: carry,
        parts=lambda params, carry: params,
        trainable=trainable,
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_layer_keeps_weights_and_moments_under_decay_until_it_thaws(name):
    """Neither weight decay nor a trust ratio moves it, nor what moments would remember."""
    options = Optim(name, lr=0.01, schedule="constant", weight_decay=0.3, layer_decay=0.5, clip_norm=1e9)
    method, mesh, plan = regression(frozen_until=2), make_mesh(), Schedule(seed=0, steps=10, steps_per_epoch=5)
    optimiser, key, views = make_optimiser(options, 10), named_key(0, "init"), jnp.asarray(mk(8, 3, 0.0))
    state = create_state(method, optimiser, key, views, abstract_state(method, optimiser, key, views, mesh))
    step = make_step(method, optimiser, learning_rate(options, 10), plan, mesh)
    batch = put_batch(mesh, {"image": mk(8, 3, 0.0), "place": np.arange(8, dtype=np.int32)})

    def first_layer(tree):
        found = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if "level0" in str(path)]
        assert found
        return jax.device_get(found)

    begun = first_layer(state.params), first_layer(state.moments), np.asarray(state.params["encoder"]["level1"])
    for _ in range(2):
        state, _ = step(state, batch)
    jax.tree.map(np.testing.assert_array_equal, begun[:2], (first_layer(state.params), first_layer(state.moments)))
    assert np.abs(begun[2] - state.params["encoder"]["level1"]).max() > 1e-6
    state, _ = step(state, batch)
    assert np.abs(begun[0][0] - first_layer(state.params)[0]).max() > 1e-6
    assert any(np.abs(leaf).max() > 0 for leaf in first_layer(state.moments))
