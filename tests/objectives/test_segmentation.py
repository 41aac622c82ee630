"""Cross-entropy and Dice, of images and of batches, against numpy; the weights and labels of several scales."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxssl.objectives import deep_supervision, downsample_labels, segmentation_loss


def case(batch=3, height=5, width=7, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, height, width, classes)), rng.integers(0, classes, (batch, height, width))


def reference(logits, labels, dice_of="image"):
    """One image at a time, one class at a time; of a batch, its images are laid beside each other as a wide one."""
    if dice_of == "batch":
        logits, labels = np.concatenate(logits, axis=1)[None], np.concatenate(labels, axis=1)[None]
    losses = []
    for image, truth in zip(logits, labels, strict=True):
        p = np.exp(image) / np.exp(image).sum(-1, keepdims=True)
        entropy = -np.mean([np.log(p[y, x, truth[y, x]]) for y, x in np.ndindex(truth.shape)])
        foreground = range(1, p.shape[-1])
        dice = [(2 * p[truth == c, c].sum() + 1e-5) / (p[..., c].sum() + (truth == c).sum() + 1e-5) for c in foreground]
        losses.append(0.5 * entropy + 0.5 * (1 - np.mean(dice)))
    return np.mean(losses)


@pytest.mark.parametrize("dice_of", ["image", "batch"])
def test_value_and_gradient(dice_of):
    with jax.enable_x64(True):
        logits, labels = case()
        labels[1][labels[1] == 2] = 0
        loss = jax.jit(partial(segmentation_loss, labels=labels, dice_of=dice_of))
        np.testing.assert_allclose(loss(logits), reference(logits, labels, dice_of), rtol=1e-12)
        check_grads(loss, (jnp.asarray(logits),), 1, ["rev"])


def test_a_class_that_an_image_lacks_is_taught_by_the_dice_of_the_batch():
    """Half a class is predicted where there is none: beside cross-entropy only the Dice of the batch minds."""
    labels = jnp.stack([jnp.zeros((8, 8), int), jnp.ones((8, 8), int)])

    def pull(dice_of):
        # Of the first image, whose cross-entropy pulls alike in both.
        return jax.grad(partial(segmentation_loss, labels=labels, dice_of=dice_of))(jnp.zeros((2, 8, 8, 2)))[0, ..., 1]

    entropy = 0.5 * 0.5 / 128
    np.testing.assert_allclose(pull("image"), entropy, rtol=1e-6)
    # Dice = 2 o / t with o = 32 and t = 128, so dDice/dp = -2 o / t^2 there, and dp/dlogit = 1/4.
    np.testing.assert_allclose(pull("batch"), entropy + 0.5 * 2 * 32 / 128**2 / 4, rtol=1e-6)


def test_certain_and_right_costs_nothing_even_of_an_absent_class():
    labels = case()[1].astype(np.uint8)
    labels[labels == 3] = 1
    right = 200.0 * jax.nn.one_hot(labels, 4)
    assert segmentation_loss(right, labels) < 1e-6


def test_half_precision_logits_are_lifted():
    logits, labels = case()
    low = jnp.asarray(logits, jnp.bfloat16)
    assert segmentation_loss(low, labels) == segmentation_loss(low.astype(jnp.float32), labels)


def test_labels_of_coarse_pixels_are_those_at_their_centres():
    labels = np.arange(6 * 12).reshape(1, 6, 12)
    centres = [[labels[0, int((y + 0.5) * 2), int((x + 0.5) * 4)] for x in range(3)] for y in range(3)]
    np.testing.assert_array_equal(downsample_labels(jnp.asarray(labels), (3, 3))[0], centres)
    np.testing.assert_array_equal(downsample_labels(jnp.asarray(labels), (6, 12)), labels)


@pytest.mark.parametrize("scales", [1, 3])
def test_scales_weigh_half_of_the_finer_one_and_one_together(scales):
    labels = jnp.asarray(case(height=8, width=8)[1])
    logits = [jnp.asarray(case(height=8 >> i, width=8 >> i, seed=i)[0]) for i in range(scales)]
    losses = [reference(np.asarray(x), np.asarray(downsample_labels(labels, x.shape[1:3]))) for x in logits]
    expected = np.dot([[1], [4 / 7, 2 / 7, 1 / 7]][scales > 1], losses)
    np.testing.assert_allclose(
        jax.jit(deep_supervision, static_argnums=0)(segmentation_loss, logits, labels), expected, rtol=1e-5
    )
