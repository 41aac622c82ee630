"""Masked image modelling: what the network is shown, what is scored, and what it cannot be built for."""

from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods.backbone import descended

from jaxssl import recipe
from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import mim
from jaxssl.methods.base import Seen, Spec, build, metadata
from jaxssl.models.unet import UNet
from jaxssl.models.vit import ViT
from jaxssl.train.step import Schedule

CASE = cases.tiny("mim")
GRID, PATCH = (4, 3), 4
TOKEN = mim.Options(patch=4, ratio=0.6, fill="token", error="l1")
PROGRESS = Schedule(steps=10, steps_per_epoch=5).progress(jnp.int32(0))
STILL = Augment(
    0.0, 0.0, (1.0, 1.0), flip=0.0, noise=0.0, blur=0.0, contrast=(1.0, 1.0), brightness=0.0, gamma=(1.0, 1.0)
)


def keys(n=32):
    return jax.random.split(jax.random.key(1), n)


def views_of(method, batch):
    return jax.jit(lambda keys, batch: method.views(keys, batch, PROGRESS))(keys(), batch)


def hidden_patches(views):
    return np.asarray(views["hidden"])[:, ::PATCH, ::PATCH, 0].reshape(32, -1)


@pytest.mark.parametrize("fill", ["zero", "noise", "shuffle", "replacement", "token"])
def test_as_many_patches_as_said_are_hidden_and_the_others_shown_as_they_are(fill):
    model = cases.VIT if fill == "token" else CASE.model
    options = replace(TOKEN, fill=fill, augment=STILL)  # no air, of which one patch is like another
    views = views_of(build(options, model, Spec((16, 12))), cases.batch_of(CASE))
    hidden = np.broadcast_to(views["hidden"], views["image"].shape)
    assert set(hidden_patches(views).sum(1)) == {7}  # round(.6 * 12)
    np.testing.assert_array_equal(views["masked"][~hidden], views["image"][~hidden])
    # A pixel in a thousand is what it was by chance: 0, or that of another patch.
    assert np.mean(views["masked"][hidden] != views["image"][hidden]) > 0.99


def test_loss_is_of_hidden_pixels_by_the_error_that_was_chosen():
    draw = np.random.default_rng(0).normal
    image, prediction = draw(size=(2, 4, 16, 12, 1)).astype(np.float32)
    hidden = np.random.default_rng(1).random((4, 16, 12, 1)) < 0.5
    fixed = {"image": image, "hidden": hidden, "embedding": draw(size=(4, 4)).astype(np.float32)}
    for error, expected in (("l2", np.square), ("l1", np.abs)):
        method = build(replace(CASE.method, error=error), CASE.model, Spec((16, 12)))
        loss, statistics = method.objective({}, {}, Seen(jnp.asarray(prediction), fixed, {}), {}, PROGRESS)
        np.testing.assert_allclose(loss, expected(prediction - image)[hidden].mean(), rtol=1e-6)
        np.testing.assert_allclose(statistics["monitor"]["prediction_std"], prediction.std(), rtol=1e-5)
        assert statistics["monitor"]["embedding_std"] > 0.1


def fans():
    """A batch whose images are 0 outside of a block that differs from sample to sample, with a hole in it."""
    batch = cases.batch_of(CASE)
    y, x = np.mgrid[:16, :12]
    inside = (x[None] >= 4) & (y[None] < np.arange(32)[:, None, None] % 13 + 4)
    inside[:, 2, 6] = False
    return {**batch, "image": np.where(inside[..., None], np.maximum(batch["image"], 1), 0).astype(np.uint16)}


def test_within_the_fan_hidden_patches_lie_in_it_and_are_their_share_of_it():
    options = replace(TOKEN, fill="zero", within="fan", augment=STILL)
    hidden = hidden_patches(views_of(build(options, CASE.model, Spec((16, 12))), fans()))
    for sample, mask in enumerate(hidden.reshape(32, *GRID)):
        rows = (sample % 13 + 4 + 2) // 4  # of patches that are filled at least by half
        assert not np.any(mask[rows:])
        assert not np.any(mask[:, 0])
        assert mask.sum() == round(0.6 * rows * 2)


def test_the_fan_moves_with_the_image_and_noise_does_not_hide_it():
    """Flipped for certain, with noise everywhere: the patches hidden are those that the flip takes the fan to."""
    options = replace(TOKEN, fill="zero", within="fan", augment=replace(STILL, flip=1.0, noise=1.0))
    views = views_of(build(options, CASE.model, Spec((16, 12))), fans())
    hidden = hidden_patches(views).reshape(32, *GRID)
    assert np.any(hidden[:, :, 0])
    assert not np.any(hidden[:, :, 2])
    assert np.any(hidden[12, :3])
    assert not np.any(hidden[0, :3])


def test_a_token_stands_for_all_patches_of_a_cell_and_hidden_pixels_are_not_seen():
    model = replace(cases.VIT, patch=(2, 4), drop_path=0.0)
    method = build(TOKEN, model, Spec((16, 12)))
    views = views_of(method, cases.batch_of(CASE))
    params, carry = jax.jit(method.init)(jax.random.key(0), views)
    assert params["encoder"]["mask_token"].shape == (16,)
    assert set(params) == {"encoder", "head"}
    seen = method.forward(params, carry, views, keys(), PROGRESS).outputs
    assert seen.shape == views["image"].shape
    other = {**views, "masked": jnp.where(views["hidden"], 5.0, views["masked"])}
    np.testing.assert_array_equal(seen, method.forward(params, carry, other, keys(), PROGRESS).outputs)
    shown = {**views, "masked": jnp.where(views["hidden"], views["masked"], 5.0)}
    assert np.any(seen != method.forward(params, carry, shown, keys(), PROGRESS).outputs)


def test_a_few_steps_of_simmim_learn():
    """Plain gradient descent on one batch, keys and all: the loss falls by a tenth."""
    method = build(TOKEN, replace(cases.VIT, drop_path=0.0, scan=False, remat=False), Spec((16, 12)))
    batch = cases.batch_of(CASE)
    views = views_of(method, batch)
    params, carry = jax.jit(method.init)(jax.random.key(0), views)

    def loss(params):
        seen = method.forward(params, carry, views, keys(), PROGRESS)
        return method.objective(params, carry, seen, metadata(batch), PROGRESS)[0]

    first, last, _ = descended(loss, params)
    assert last < 0.9 * first


def test_the_published_cells_of_simmim():
    published = recipe.load_recipe("mim:simmim")
    published.check()
    assert (published.method.patch, published.model.patch_size, published.method.ratio) == (32, (16, 16), 0.6)


@pytest.mark.parametrize(
    ("options", "model", "words"),
    [
        (mim.Options(patch=5), CASE.model, "method.patch 5 does not divide the image size 16 x 12"),
        (mim.Options(patch=4, ratio=0.04), CASE.model, "hides 0 of 12 patches"),
        (mim.Options(patch=4, ratio=0.97), CASE.model, "hides 12 of 12 patches"),
        (TOKEN, UNet(widths=(4, 8)), "method.fill token is for a ViT"),
        (TOKEN, ViT(patch=(8, 4), width=16, heads=2), "method.patch 4 is no multiple of model.patch"),
        (mim.Options(patch=4), cases.VIT, "needs a decoder, which a ViT does not have"),
    ],
)
def test_what_cannot_be_is_refused(options, model, words):
    with pytest.raises(UserError, match=words):
        build(options, model, Spec((16, 12)))
