"""Optimisers and schedules against closed forms and published values."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.errors import UserError
from jaxssl.train.layers import layer_factors
from jaxssl.train.optim import Optim, learning_rate, make_optimiser

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


@pytest.mark.parametrize(
    ("bounds", "lengths"),
    [
        ({"clip_norm": 2.0}, {"long": 2 * 0.8, "short": 2 * 0.6, "still": 0.0}),
        ({"clip_parameter": 3.5}, {"long": 3.5, "short": 3.0, "still": 0.0}),
        ({"clip_norm": 1.0, "clip_parameter": 3.0}, {"long": 0.5**0.5, "short": 0.5**0.5, "still": 0.0}),
        ({"clip_norm": 6.0, "clip_parameter": 5.0}, {"long": 4.0, "short": 3.0, "still": 0.0}),
    ],
    ids=["all together", "each by itself", "each and then all", "neither is too long"],
)
def test_a_clip_bounds_all_arrays_together_or_each_by_itself(bounds, lengths):
    options = Optim("sgd", lr=1.0, schedule="constant", momentum=0.0, **bounds)
    gradient = {"long": jnp.full((2, 2), 2.0), "short": jnp.array([3.0]), "still": jnp.zeros(2)}
    params = jax.tree.map(jnp.zeros_like, gradient)
    found = stepped(options, params, [gradient])
    for name, length in lengths.items():
        assert float(jnp.linalg.norm(found[name])) == pytest.approx(length, rel=1e-6)
    assert jnp.all(found["long"] == found["long"][0, 0])


def adam_by_hand(p, gradients, rate, decays, *, beta2=0.999, eps=1e-8, bound=np.inf, adapted=False):
    """Adam's direction plus decay, of a gradient shortened to `bound` as DINO does it; in float64.

    `adapted` multiplies by |p| / |direction|, which is LAMB (You et al. 2020, algorithm 2).
    """
    p, m, v = np.float64(p), 0.0, 0.0
    for t, (g, decay) in enumerate(zip(map(np.float64, gradients), decays, strict=True), 1):
        g = g * min(1.0, bound / (np.linalg.norm(g) + 1e-6))
        m, v = 0.9 * m + 0.1 * g, beta2 * v + (1 - beta2) * g * g
        direction = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - beta2**t)) + eps) + decay * p
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


PARAMS = {"w": mk(3, 4, 0.5), "b": mk(1, 4, 0.1)[0]}
# The second is small, so that a bound is passed by one gradient and not by the other.
GRADIENTS = [{"w": size * mk(3, 4, 1.5 + i), "b": size * mk(1, 4, 2.5 + i)[0]} for i, size in enumerate((1, 0.1, 2))]


def stepped_exactly(options):
    """PARAMS after GRADIENTS in float64: in float32 optax rounds 1 - 0.999^t to five digits."""
    with jax.enable_x64(True):
        return stepped(options, *jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (PARAMS, GRADIENTS)))


def of(name):
    return PARAMS[name], [gradient[name] for gradient in GRADIENTS]


@pytest.mark.parametrize("beta2", [0.999, 0.95])
def test_lamb_equals_a_step_by_hand(beta2):
    found = stepped_exactly(Optim("lamb", lr=0.3, schedule="constant", weight_decay=0.01, beta2=beta2))
    for name, decay, adapted in (("w", 0.01, True), ("b", 0.0, False)):
        wanted = adam_by_hand(*of(name), 0.3, [decay] * 3, beta2=beta2, eps=1e-6, adapted=adapted)
        np.testing.assert_allclose(found[name], wanted, rtol=1e-9)


def test_adamw_with_the_settings_of_dino_and_mae_equals_steps_by_hand():
    """Each array clipped by itself, a weight decay that rises along a cosine, and MAE's memory of squares."""
    settings = {"weight_decay": 0.04, "weight_decay_end": 0.4, "clip_parameter": 0.3, "beta2": 0.95}
    found = stepped_exactly(Optim("adamw", lr=0.1, schedule="constant", **settings))
    decays = [0.22 - 0.18 * np.cos(np.pi * t / 10) for t in range(3)]
    for name, own in (("w", decays), ("b", [0.0] * 3)):
        wanted = adam_by_hand(*of(name), 0.1, own, beta2=0.95, bound=0.3)
        # DINO divides by norm + 1e-6, so that what it shortens to .3 comes out 1e-6 too short.
        np.testing.assert_allclose(found[name], wanted, rtol=2e-6)


def test_where_nothing_is_frozen_adamw_and_lamb_are_those_of_optax():
    """Of LAMB the matrix alone: optax's takes the norm's ratio of vectors too."""
    matrix, gradients = {"w": PARAMS["w"]}, [{"w": gradient["w"]} for gradient in GRADIENTS]
    how = {"b2": 0.95, "weight_decay": 0.01}
    cases = [
        ("adamw", optax.adamw(0.3, mask={"w": True, "b": False}, **how), PARAMS, GRADIENTS),
        ("lamb", optax.lamb(0.3, **how), matrix, gradients),
    ]
    for name, theirs, params, steps in cases:
        state, wanted = theirs.init(params), params
        for gradient in steps:
            updates, state = theirs.update(gradient, state, wanted)
            wanted = optax.apply_updates(wanted, updates)
        found = stepped(Optim(name, lr=0.3, schedule="constant", weight_decay=0.01, beta2=0.95), params, steps)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_a_moving_weight_decay_is_at_each_step_what_a_constant_one_would_be(name):
    """Without gradients and momentum a step is the decay of that moment alone."""
    params, still = {"w": jnp.asarray(mk(3, 4, 0.5))}, {"w": jnp.zeros((3, 4))}
    plain = Optim(name, lr=0.1, schedule="constant", momentum=0.0)
    optimiser = make_optimiser(replace(plain, weight_decay=0.0, weight_decay_end=0.3), steps=4)
    state = optimiser.init(params)
    for decay in (0.0, 0.15 * (1 - 0.5**0.5), 0.15, 0.15 * (1 + 0.5**0.5), 0.3):
        updates, state = optimiser.update(still, state, params)
        constant = make_optimiser(replace(plain, weight_decay=decay), steps=4)
        wanted, _ = constant.update(still, constant.init(params), params)
        np.testing.assert_allclose(updates["w"], wanted["w"], rtol=1e-5)


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
    """Decay leaves out a stack of biases; trust ratio, clip and learning rate belong to one layer."""
    options = Optim(name, lr=0.05, schedule="constant", weight_decay=0.1, layer_decay=layer_decay, clip_parameter=1.0)
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


def test_a_stem_stands_before_the_first_layer_and_a_representation_after_the_last():
    leaf = {"kernel": jnp.ones(2)}
    names = ("stem", "stem_norm", "level0", "level1", "norm", "representation")
    factors = layer_factors({"encoder": dict.fromkeys(names, leaf), "head": leaf}, 0.5)
    assert [factors["encoder"][name]["kernel"] for name in names] == [0.125, 0.125, 0.25, 0.5, 1.0, 1.0]
    assert factors["head"]["kernel"] == 1.0


@pytest.mark.parametrize(
    "setting", [{"clip_parameter": 0.0}, {"clip_norm": -1.0}, {"beta2": 1.0}, {"weight_decay_end": -0.1}]
)
def test_values_out_of_range_are_refused_by_name(setting):
    with pytest.raises(UserError, match=f"optim.{next(iter(setting))} "):
        Optim(**setting).check()


@pytest.mark.parametrize("value", [0.0, -0.5, 1.01])
def test_a_layer_decay_out_of_range_is_refused(value):
    with pytest.raises(UserError, match="layer_decay"):
        Optim(layer_decay=value).check()


def test_a_layer_decay_without_layers_to_see_is_refused():
    params = {"encoder": {"kernel": jnp.ones((2, 2))}}
    optimiser = make_optimiser(Optim(layer_decay=0.5), 10)
    with pytest.raises(UserError, match="numbered layers"):
        optimiser.update(params, optimiser.init(params), params)
