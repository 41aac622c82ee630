"""The masked autoencoder: what is visible and what is scored, what it costs, and what it cannot be built for."""

from dataclasses import replace

import cases
import counts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods.backbone import descended

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import mae
from jaxssl.methods.base import Seen, Spec, build, metadata
from jaxssl.models.mae import Light
from jaxssl.models.unet import UNet
from jaxssl.models.vit import ViT
from jaxssl.objectives import mae_loss, patches_to_pixels, patchify
from jaxssl.train.step import Schedule

CASE = cases.tiny("mae")
PROGRESS = Schedule(steps=10, steps_per_epoch=5).progress(jnp.int32(0))
STILL = replace(Augment(), translation=0.0, rotation=0.0, scale=(1.0, 1.0), flip=0.0)


def keys(n=32):
    return jax.random.split(jax.random.key(1), n)


def viewed(options, batch=None):
    method, batch = build(options, CASE.model, Spec((16, 12))), batch or cases.batch_of(CASE)
    return method, jax.jit(lambda keys, batch: method.views(keys, batch, PROGRESS))(keys(), batch)


def begun(options=CASE.method):
    method, views = viewed(options)
    return method, views, *jax.jit(method.init)(jax.random.key(0), views)


@pytest.mark.parametrize("ratio", [0.1, 0.6, 0.75])
def test_exactly_the_rounded_share_is_hidden_in_every_image(ratio):
    _, views = viewed(replace(CASE.method, ratio=ratio))
    scored, hidden = np.asarray(views["scored"]), round(ratio * 12)
    assert set(scored.sum(1)) == {hidden}
    assert views["visible"].shape == (32, 12 - hidden)
    for mask, visible in zip(scored, np.asarray(views["visible"]), strict=True):
        assert sorted([*visible, *np.flatnonzero(mask)]) == list(range(12))
    assert len({tuple(row) for row in scored}) > 5


def test_the_network_sees_visible_patches_only_and_is_scored_on_hidden_ones_only():
    method, views, params, carry = begun()
    hidden = patches_to_pixels(views["scored"], (4, 3), 4)[..., None]
    seen = method.forward(params, carry, views, keys(), PROGRESS)
    blank = {**views, "image": jnp.where(hidden, 0, views["image"])}
    np.testing.assert_array_equal(seen.outputs, method.forward(params, carry, blank, keys(), PROGRESS).outputs)
    other = {**views, "image": jnp.where(hidden, views["image"], 0)}
    assert np.any(seen.outputs != method.forward(params, carry, other, keys(), PROGRESS).outputs)

    def loss(outputs):
        return method.objective(params, carry, Seen(outputs, seen.fixed, {}), {}, PROGRESS)[0]

    gradient = np.asarray(jax.grad(loss)(seen.outputs))
    assert np.all(np.any(gradient, axis=-1) == np.asarray(views["scored"]))


@pytest.mark.parametrize("normalise", [False, True])
def test_the_objective_is_the_published_loss(normalise):
    method, views, params, carry = begun(replace(CASE.method, normalise=normalise))
    seen = method.forward(params, carry, views, keys(), PROGRESS)
    loss, statistics = method.objective(params, carry, seen, {}, PROGRESS)
    np.testing.assert_allclose(loss, mae_loss(seen.outputs, views["image"], views["scored"], 4, normalise), rtol=1e-6)
    assert {"prediction_std", "embedding_std"} <= set(statistics["monitor"])


def test_within_the_fan_its_patches_are_shown_first_and_its_hidden_ones_scored():
    batch = cases.batch_of(CASE)
    inside = np.arange(16)[None, :, None] < 4 * (1 + np.arange(32)[:, None, None] % 4)  # 1 to 4 rows of 3 patches
    batch["image"] = np.where(inside[..., None], np.maximum(batch["image"], 1), 0).astype(np.uint16)
    still = replace(STILL, noise=1.0)
    _, views = viewed(replace(CASE.method, ratio=0.5, within="fan", augment=still), batch)
    for sample, (scored, visible) in enumerate(zip(views["scored"], views["visible"], strict=True)):
        fan = 3 * (1 + sample % 4)
        assert scored.sum() == max(fan - 6, 0)
        assert not np.any(scored[fan:])
        assert (visible < fan).sum() == min(fan, 6)


def test_an_encoder_that_sees_a_quarter_costs_less_than_three_tenths_of_the_whole():
    """The method as a whole, of ViT-S/16: from the jaxpr of its forward pass, the decoder's share taken off."""
    model, spec = ViT(scan=True), Spec((224, 224))
    case = replace(CASE, data=replace(CASE.data, layout=replace(CASE.data.layout, size=(224, 224))))
    batch = cases.batch_of(case, 2)

    def work(options):
        method = build(options, model, spec)

        def step(batch):
            views = method.views(keys(2), batch, PROGRESS)
            return method.init(jax.random.key(0), views), views

        (params, carry), views = jax.eval_shape(step, batch)
        forward = jax.make_jaxpr(lambda p, v: method.forward(p, carry, v, keys(2), PROGRESS).outputs)(params, views)
        return counts.multiply_adds(forward.jaxpr)

    decoder = Light(width=4, depth=1, heads=1)
    whole = 2 * 4.6e9  # published multiply-adds of two images
    assert work(mae.Options(decoder=decoder)) <= 0.3 * whole


def test_a_few_steps_learn():
    """Plain gradient descent on one batch: the loss falls by a tenth, and the class token's weights move."""
    method, views, params, carry = begun()
    batch = cases.batch_of(CASE)

    def loss(params):
        seen = method.forward(params, carry, views, keys(), PROGRESS)
        return method.objective(params, carry, seen, metadata(batch), PROGRESS)[0]

    first, last, learnt = descended(loss, params)
    assert last < 0.9 * first
    assert np.all(learnt["encoder"]["tokens"] != params["encoder"]["tokens"])


@pytest.mark.parametrize("normalise", [False, True])
def test_pictures_show_what_was_hidden_and_the_prediction_in_the_images_own_units(normalise):
    # No air, whose patches have no contrast to be restored.
    method, views, params, carry = begun(replace(CASE.method, normalise=normalise, augment=STILL))
    seen = method.forward(params, carry, views, keys(), PROGRESS)
    target = patchify(views["image"], 4)
    if normalise:
        target = (target - target.mean(-1, keepdims=True)) / target.std(-1, keepdims=True, ddof=1)
    drawn = method.pictures(views, seen._replace(outputs=target))
    np.testing.assert_allclose(drawn["reconstruction/prediction"], drawn["reconstruction/original"], atol=1e-4)
    hidden = np.asarray(patches_to_pixels(views["scored"], (4, 3), 4))
    assert not np.any(drawn["reconstruction/masked"][hidden])
    shown = drawn["reconstruction/masked"][~hidden]
    np.testing.assert_array_equal(shown, drawn["reconstruction/original"][~hidden])


@pytest.mark.parametrize(
    ("options", "model", "words"),
    [
        (mae.Options(), UNet(widths=(4, 8)), "take the method mim for it, or a ViT for mae"),
        (mae.Options(ratio=0.97), CASE.model, "hides 12 of 12 patches"),
        (mae.Options(), ViT(patch=5), "Patches of 5x5 do not divide"),
    ],
)
def test_what_cannot_be_is_refused(options, model, words):
    with pytest.raises(UserError, match=words):
        build(options, model, Spec((16, 12)))
