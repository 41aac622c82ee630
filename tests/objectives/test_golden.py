"""Values of other people's public code, said to be equal, equal after a factor, or different by definition."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.objectives import (
    contrastive_loss,
    mae_loss,
    masked_pixel_loss,
    near_position,
    patches_to_pixels,
    patchify,
    same_instance,
    same_label,
)

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())
LABELS = jnp.array([0, 0, 1, 2])
POSITIONS = jnp.array([0.0, 0.2, 0.5, 0.9])


def made(rows, width, phase):
    return jnp.asarray(np.sin(0.37 * np.arange(rows * width).reshape(rows, width) + phase), jnp.float32)


def of_views(rule_of_values, values, temperature):
    """Loss of two views as a function of both, with the rule on values repeated for the second view."""
    rule = rule_of_values(jnp.tile(values, 2))
    return lambda z0, z1: contrastive_loss(jnp.concatenate([z0, z1]), rule, temperature=temperature)[0]


NT_XENT = {t: of_views(same_instance, jnp.arange(4), t) for t in (0.1, 0.5)}
SUPERVISED = of_views(same_label, LABELS, 0.1)
CLOSE = of_views(lambda positions: near_position(positions, 0.35), POSITIONS, 0.1)


def one_view(z0, z1):
    del z1
    return contrastive_loss(z0, same_label(jnp.array([0, 1, 1, 3])), temperature=0.8)[0]


ONE_VIEW_INPUT = 0.3
# Key: (ours, factor that turns ours into theirs, why it is not 1).
EQUAL = {
    "monai_contrastive_t0.1": (NT_XENT[0.1], 1, ""),
    "monai_contrastive_t0.5": (NT_XENT[0.5], 1, ""),
    "lightly_ntxent_t0.1": (NT_XENT[0.1], 1, ""),
    "lightly_ntxent_t0.5": (NT_XENT[0.5], 1, ""),
    "solo_simclr_t0.1": (NT_XENT[0.1], 1, ""),
    "supcon_unsup_t0.1_base0.1": (NT_XENT[0.1], 1, ""),
    "supcon_labels0012_t0.1_base0.1": (SUPERVISED, 1, ""),
    "pcl_gcl_labels0012_t0.1_base0.1": (SUPERVISED, 1, ""),
    "pcl_pos_t0.1_base0.1_thr0.35": (CLOSE, 1, ""),
    "supcon_labels0012_t0.1_base0.07": (SUPERVISED, 0.1 / 0.07, "temperature / base temperature"),
    "supcon_oneview_nopos_labels0112_t0.8": (one_view, 0.8 / 0.07 * 2 / 4, "the same, and 2 of 4 anchors as zeros"),
}
DIFFERENT = {
    "solo_supcon_labels0012_t0.1": (SUPERVISED, "logarithm of the sum over positives"),
    "optax_ntxent_labels0012_t0.1": (SUPERVISED, "each positive against the negatives only"),
}


def views_of(key):
    return (made(4, 8, ONE_VIEW_INPUT), None) if "oneview" in key else (made(4, 8, 0), made(4, 8, 1))


@pytest.mark.parametrize("key", EQUAL)
def test_contrastive_value_is_theirs(key):
    ours, factor, _ = EQUAL[key]
    np.testing.assert_allclose(factor * jax.jit(ours)(*views_of(key)), GOLDEN[key], rtol=2e-6)


@pytest.mark.parametrize("key", DIFFERENT)
def test_other_definitions_are_not_ours(key):
    ours, _ = DIFFERENT[key]
    assert abs(jax.jit(ours)(*views_of(key)) - GOLDEN[key]) > 1


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_gradient_norms_are_lightlys(temperature):
    gradients = jax.jit(jax.grad(NT_XENT[temperature], argnums=(0, 1)))(*views_of(""))
    for gradient, view in zip(gradients, ("z0", "z1"), strict=True):
        expected = GOLDEN[f"lightly_ntxent_t{temperature}_gradnorm_{view}"]
        np.testing.assert_allclose(jnp.linalg.norm(gradient), expected, rtol=5e-6)


def masked_autoencoder_case():
    images = np.sin(0.11 * np.arange(2 * 3 * 16 * 16)).reshape(2, 3, 16, 16).transpose(0, 2, 3, 1)
    prediction = np.cos(0.07 * np.arange(2 * 16 * 48)).reshape(2, 16, 48)
    mask = (7 * np.arange(32) % 16 < 12).reshape(2, 16)
    return (jnp.asarray(x, jnp.float32) for x in (prediction, images, mask))


def test_masked_autoencoder_values_are_theirs():
    prediction, images, mask = masked_autoencoder_case()
    assert mask.sum() == GOLDEN["mae_mask_sum"]
    np.testing.assert_allclose(patchify(images, 4)[0, 1, :6], GOLDEN["mae_patchify_[0,1,:6]"], atol=1e-6)
    loss = jax.jit(mae_loss, static_argnums=(3, 4))
    np.testing.assert_allclose(loss(prediction, images, mask, 4, False), GOLDEN["mae_loss_raw"], rtol=1e-6)
    normalised = loss(prediction, images, mask, 4, True)
    np.testing.assert_allclose(normalised, GOLDEN["mae_loss_normpix"], rtol=1e-6)
    assert abs(normalised - GOLDEN["mae_loss_normpix_ddof0"]) > 0.02


def test_the_raw_value_is_that_of_masked_pixels_and_so_is_its_gradient():
    """Through the function that masked image modelling calls, on images instead of patches."""
    prediction, images, mask = masked_autoencoder_case()
    pictures = prediction.reshape(2, 4, 4, 4, 4, 3).swapaxes(2, 3).reshape(images.shape)
    hidden = patches_to_pixels(mask, (4, 4), 4)
    loss, gradient = jax.jit(jax.value_and_grad(masked_pixel_loss))(pictures, images, hidden)
    np.testing.assert_allclose(loss, GOLDEN["mae_loss_raw"], rtol=1e-6)
    seen = hidden[..., None] * np.ones(3)
    by_hand = 2 * seen * (np.asarray(pictures) - np.asarray(images)) / seen.sum()
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-5, atol=1e-9)


def test_every_golden_value_is_spoken_for():
    spoken_for = {*EQUAL, *DIFFERENT, *(key for key in GOLDEN if "gradnorm" in key or key.startswith(("_", "mae")))}
    assert set(GOLDEN) == spoken_for
