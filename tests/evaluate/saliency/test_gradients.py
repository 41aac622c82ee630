"""Grad-CAM against numpy; integrated gradients against what they must sum to and against a closed form."""

import jax
import numpy as np
import pytest
from evaluate.saliency import looker
from PIL import Image
from scipy.integrate import quad
from scipy.signal import correlate
from scipy.special import softmax

from jaxssl.evaluate.saliency.gradients import POINTS, _slope, grad_cam, integrated_gradients

PARTNERS = ("late", "early")
"""Not in the order of the alphabet, in which jax keeps the entries of a dict."""
TARGET = np.array([0, 1, 2, 1, 0])


def images_of(batch):
    """Each image of each sample in units of its subject's standard deviation, by numpy."""
    all_of = [batch, *(batch["partners"][kind] for kind in PARTNERS if kind in batch.get("partners", {}))]
    scaled = [
        (each["image"].astype(np.float64) - each["mean"][:, None, None, None]) / each["std"][:, None, None, None]
        for each in all_of
    ]
    return np.stack(scaled, axis=1)


def maps_by_hand(variables, image):
    """The convolution by scipy, the mean over 2x2 pixels by slices: [y, x, channel] to [h, w, feature]."""
    kernel = variables["kernel"].astype(np.float64)
    x = np.stack(
        [correlate(image, kernel[..., k], mode="valid")[..., 0] for k in range(kernel.shape[-1])], axis=-1
    ).clip(0)
    return (x[0::2, 0::2] + x[1::2, 0::2] + x[0::2, 1::2] + x[1::2, 1::2]) / 4


def grad_cam_by_hand(variables, image, place, target):
    """For logits that are linear in the mean over places of A_k squared: the gradient is 2 A_k w_k / places."""
    maps = maps_by_hand(variables, image)
    linear = variables["linear"].astype(np.float64).reshape(-1, maps.shape[-1], looker.CLASSES)[place, :, target]
    weights = (2 * maps * linear / maps[..., 0].size).mean((0, 1))
    coarse = (maps * weights).sum(-1).clip(0)
    # Pillow, which interpolates from pixel centre to pixel centre as well.
    return np.asarray(
        Image.fromarray(coarse.astype(np.float32)).resize((looker.SIZE[1], looker.SIZE[0]), Image.Resampling.BILINEAR)
    )


@pytest.mark.parametrize("partners", [(), PARTNERS])
def test_grad_cam_is_that_of_numpy(partners):
    batch, variables = looker.batch_of(5, partners), looker.variables_of(1 + len(partners))
    found = np.asarray(grad_cam(looker.convolutional(partners), variables, batch, TARGET))
    assert found.shape == (5, 1 + len(partners), *looker.SIZE)
    for sample, images in enumerate(images_of(batch)):
        for place, image in enumerate(images):
            wanted = grad_cam_by_hand(variables, image, place, TARGET[sample])
            np.testing.assert_allclose(found[sample, place], wanted, rtol=2e-4, atol=2e-4 * found.max())
    # Neither empty nor full, or the ReLU would not have been seen.
    assert 0.02 < (found > 0).mean() < 0.99


def test_a_sample_is_explained_by_itself():
    """What stands beside it in the batch changes nothing."""
    method, variables, batch = looker.convolutional(), looker.variables_of(), looker.batch_of()
    alone = {name: column[3:4] for name, column in batch.items()}
    for explain in (grad_cam, integrated_gradients):
        together = np.asarray(explain(method, variables, batch, TARGET))[3]
        single = np.asarray(explain(method, variables, alone, TARGET[3:4]))[0]
        np.testing.assert_allclose(single, together, rtol=1e-4, atol=1e-5 * np.abs(together).max())


def aired(batch):
    """The batch with every pixel as dark as the darkest of its image, channel by channel."""
    air = {**batch, "image": np.broadcast_to(batch["image"].min((1, 2), keepdims=True), batch["image"].shape)}
    if "partners" in batch:
        air["partners"] = {kind: aired(partner) for kind, partner in batch["partners"].items()}
    return air


def log_probability(method, variables, batch):
    found = method.predict(variables, batch)
    return np.log(np.asarray(found))[np.arange(len(TARGET)), TARGET]


@pytest.mark.parametrize(("kind", "bound"), [(looker.linear, 1e-3), (looker.convolutional, 1e-2)])
def test_integrated_gradients_sum_to_the_change_of_the_log_probability(kind, bound):
    """On a smooth path and on one with kinks; twice the points leave a quarter of the error where it is smooth."""
    method = kind(PARTNERS)
    with jax.enable_x64(True):
        batch, variables = looker.batch_of(5, PARTNERS, dtype=np.float64), looker.variables_of(3, dtype=np.float64)
        change = log_probability(method, variables, batch) - log_probability(method, variables, aired(batch))

        def error(points):
            found = integrated_gradients(method, variables, batch, TARGET, PARTNERS, points)
            return np.abs(np.asarray(found).sum((1, 2, 3)) - change).max()

        assert error(POINTS) < bound * np.abs(change).mean()
        if kind is looker.linear:
            assert error(2 * POINTS) == pytest.approx(error(POINTS) / 4, rel=0.05)
    assert np.abs(change).mean() > 0.5


def test_one_program_serves_every_point_and_every_networks_weights():
    """A network drawn anew is explained without compiling anew, which for a large one takes longer than explaining."""
    method, batch = looker.convolutional(), looker.batch_of()
    integrated_gradients(method, looker.variables_of(), batch, TARGET, points=2)
    programs = _slope._cache_size()
    integrated_gradients(method, looker.variables_of(seed=1), batch, TARGET, points=3)
    assert _slope._cache_size() == programs


def linear_by_hand(weights, ends, starts, target):
    """Of log softmax: the gradient at a is w_target - sum_k p_k(a) w_k, whose p_k alone have to be integrated."""
    logits = [np.einsum("iyxc,iyxck->k", images, weights) for images in (starts, ends)]

    def probability(place, k):
        return softmax(logits[0] + place * (logits[1] - logits[0]))[k]

    mean = [quad(probability, 0, 1, (k,), limit=500, epsabs=1e-10)[0] for k in range(weights.shape[-1])]
    return ((ends - starts) * (weights[..., target] - weights @ np.array(mean))).sum(-1)


def test_integrated_gradients_of_a_linear_model_have_a_closed_form():
    batch, variables = looker.batch_of(5, PARTNERS), looker.variables_of(3)
    found = np.asarray(integrated_gradients(looker.linear(PARTNERS), variables, batch, TARGET, PARTNERS))
    ends, starts = images_of(batch), images_of(aired(batch))
    for sample, target in enumerate(TARGET):
        wanted = linear_by_hand(np.float64(variables["weights"]), ends[sample], starts[sample], target)
        np.testing.assert_allclose(found[sample], wanted, atol=2e-4 * np.abs(wanted).max())


def test_pixels_that_no_class_asks_for_get_nothing():
    batch, variables = looker.batch_of(), looker.variables_of()
    variables["weights"][:, :5] = 0
    found = np.asarray(integrated_gradients(looker.linear(), variables, batch, TARGET))
    assert not found[:, :, :5].any()
    assert found[:, :, 5:].any()


@pytest.mark.parametrize(("factor", "shift"), [(8, 0), (0.25, 100), (1, -300)])
def test_an_images_scale_changes_no_map(factor, shift):
    """Images come in units of their subject's own standard deviation, whatever the scanner counts in."""
    method, variables, batch = looker.convolutional(), looker.variables_of(), looker.batch_of()
    batch["image"] = batch["image"].astype(np.float32)
    other = {name: factor * column + (shift if name != "std" else 0) for name, column in batch.items()}
    other = {name: column.astype(np.float32) for name, column in other.items()}
    for explain in (grad_cam, integrated_gradients):
        one, two = (np.asarray(explain(method, variables, each, TARGET)) for each in (batch, other))
        np.testing.assert_allclose(one, two, atol=2e-3 * np.abs(one).max())


def test_a_logit_that_is_a_pixel_lights_that_pixel():
    batch, variables = looker.batch_of(1), looker.variables_of()
    variables["weights"][:] = 0
    variables["weights"][0, 7, 2, :, 1] = 1
    found = np.asarray(integrated_gradients(looker.linear(), variables, batch, np.array([1])))[0, 0]
    assert np.argwhere(found).tolist() == [[7, 2]]
