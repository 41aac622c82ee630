"""Attention rollout against a loop of numpy, which computes the network's attention by itself."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluate.saliency import looker
from models.small_vit import SIZE, TINY, build_vit
from PIL import Image
from scipy.special import erf, softmax

from jaxssl.evaluate.saliency.rollout import attention_in, rolled, rollout
from jaxssl.methods import parts

PARTNERS = ("late", "early")
TARGET = np.array([0, 1, 2])
KINDS = {
    "token": TINY,
    "mean": replace(TINY, pool="mean"),
    "nothing but patches": replace(TINY, pool="mean", registers=0, layer_scale=None),
}
"""A ViT of 4 x 6 patches, three layers and two heads, with and without tokens of no patch."""


@functools.cache
def classifier(kind, partners=PARTNERS):
    """A method that reads no classes but runs the encoder on all images of a sample, and the encoder's params."""
    encoder, params = build_vit(KINDS[kind], channels=looker.CHANNELS)

    def maps(variables, batch):
        shown = looker.standardised(batch, partners)
        features = parts.evaluate(encoder, variables, {}, shown.reshape(-1, *shown.shape[2:]))
        return features.maps[-1].reshape(*shown.shape[:2], *features.maps[-1].shape[1:])

    return looker.method_of(maps, lambda variables, maps: maps.mean((1, 2, 3))), params


def normalised(x, params):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * params["scale"] + params["bias"]


def linear(x, params):
    return x @ params["kernel"] + params["bias"]


def attention_by_hand(model, params, tokens):
    """The weights [head, token, token] of each layer, from the tokens [token, channel] that the first is given."""
    x, layers = tokens, []
    for layer in range(model.depth):
        block = params[f"block{layer}"]
        scales = [block.get(f"{name}_scale", 1.0) for name in ("attention", "mlp")]
        qkv = linear(normalised(x, block["attention_norm"]), block["attention"]["qkv"])
        query, key, value = np.split(qkv, 3, axis=1)
        outputs, weights = [], []
        for head in range(model.heads):
            own = slice(head * x.shape[1] // model.heads, (head + 1) * x.shape[1] // model.heads)
            weights.append(softmax(query[:, own] @ key[:, own].T / np.sqrt(query[:, own].shape[1]), axis=-1))
            outputs.append(weights[-1] @ value[:, own])
        x = x + scales[0] * linear(np.concatenate(outputs, axis=1), block["attention"]["out"])
        hidden = linear(normalised(x, block["mlp_norm"]), block["mlp"]["in"])
        x = x + scales[1] * linear(hidden * (1 + erf(hidden / np.sqrt(2))) / 2, block["mlp"]["out"])
        layers.append(np.stack(weights))
    return layers


def tokens_by_hand(model, params, image):
    """Patches cut out one by one, with their positions, behind the tokens of no patch."""
    height, width = model.patch_size
    kernel, bias, grid = params["patch"]["kernel"], params["patch"]["bias"], params["positions"]["grid"]
    patches = [
        np.einsum("ijc,ijcd->d", image[y : y + height, x : x + width], kernel) + bias
        for y in range(0, image.shape[0], height)
        for x in range(0, image.shape[1], width)
    ]
    patches = np.stack(patches) + grid.reshape(-1, grid.shape[-1])
    if "tokens" not in params:
        return patches
    extra = params["tokens"].copy()
    if model.pool == "token":
        extra[0] += params["positions"]["token"].reshape(-1)
    return np.concatenate([extra, patches])


def rollout_by_hand(model, layers, patches):
    """The product of the layers' matrices, of which the rows of what is pooled are read."""
    product = np.eye(len(layers[0][0]))
    for layer in layers:
        product = (layer.mean(0) + np.eye(len(product))) / 2 @ product
        np.testing.assert_allclose(product.sum(1), 1)
    return (product[0] if model.pool == "token" else product[-patches:].mean(0))[-patches:]


def in_float64(params):
    return {k: in_float64(v) if isinstance(v, dict) else np.float64(v) for k, v in params.items()}


def shown(batch):
    every = [batch, *(batch["partners"][kind] for kind in PARTNERS)]
    return [
        [(np.float64(each["image"][n]) - each["mean"][n]) / each["std"][n] for each in every]
        for n in range(len(batch["mean"]))
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_rollout_is_the_product_of_the_networks_attention(kind):
    model = KINDS[kind]
    method, params = classifier(kind)
    batch, wide = looker.batch_of(3, PARTNERS, size=SIZE), in_float64(params)
    read = "token" if model.pool == "token" else "patches"
    found = np.asarray(rollout(method, params, batch, TARGET, model.patch_size, read))
    assert found.shape == (3, 3, *SIZE)
    rows, columns = (side // part for side, part in zip(SIZE, model.patch_size, strict=True))
    for sample, images in enumerate(shown(batch)):
        for place, image in enumerate(images):
            layers = attention_by_hand(model, wide, tokens_by_hand(model, wide, image))
            coarse = rollout_by_hand(model, layers, rows * columns).reshape(rows, columns).astype(np.float32)
            wanted = np.asarray(Image.fromarray(coarse).resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR))
            np.testing.assert_allclose(found[sample, place], wanted, rtol=1e-4, atol=1e-6)


def test_shares_of_all_tokens_sum_to_one():
    random = np.random.default_rng(0)
    layers = [jnp.asarray(softmax(random.normal(0, 3, (4, 2, 7, 7)), axis=-1)) for _ in range(5)]
    read = jnp.asarray(softmax(random.normal(size=(4, 7)), axis=-1))
    shares = np.asarray(rolled(layers, read))
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    assert (shares >= 0).all()


def test_attention_that_stays_at_home_shows_every_patch_alike():
    layers = [jnp.broadcast_to(jnp.eye(6), (1, 2, 6, 6))] * 3
    read = jnp.full((1, 6), 1 / 6)
    np.testing.assert_allclose(rolled(layers, read), read, rtol=1e-6)


def test_all_that_looks_at_one_token_comes_from_it():
    """Of L layers that all look at token 2, the part that came past every one of them is 2^-L."""
    layers = [jnp.zeros((1, 1, 4, 4)).at[..., 2].set(1.0)] * 3
    np.testing.assert_allclose(rolled(layers, jnp.array([[1.0, 0, 0, 0]])), [[1 / 8, 0, 7 / 8, 0]], rtol=1e-6)


def test_nothing_is_changed_by_looking():
    method, params = classifier("mean")
    batch = looker.batch_of(3, PARTNERS, size=SIZE)
    assert method.maps is not None
    maps = method.maps
    plain = jax.jit(maps)(params, batch)
    layers, seen = jax.jit(lambda *given: attention_in(lambda: maps(*given)))(params, batch)
    np.testing.assert_array_equal(seen, plain)
    assert len(layers) == TINY.depth
    np.testing.assert_allclose(np.asarray(layers[0]).sum(-1), 1, rtol=1e-5)
