"""What residual and dense networks both keep: the laws of groups of samples, of half precision and of the gradient."""

import functools
from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import plain, test_densenet, test_resnet

from jaxssl.errors import UserError
from jaxssl.models.convolution import halved
from jaxssl.models.densenet import DenseNet
from jaxssl.numerics import island
from jaxssl.train.mesh import make_mesh
from jaxssl.train.step import Schedule, loss_and_gradient

TINY = {"resnet": test_resnet.TINY, "densenet": test_densenet.TINY}
SHALLOW = {
    "resnet": replace(TINY["resnet"], blocks=(1,), decoder_widths=(2, 2)),
    "densenet": replace(TINY["densenet"], layers=(2,), decoder_widths=(2, 2)),
}
HALF = {
    "resnet": TINY["resnet"],
    "bottleneck": replace(TINY["resnet"], blocks=(1, 1), bottleneck=True),
    "densenet": TINY["densenet"],
    "resnet of channels": test_resnet.GROUPED,
    "densenet of channels": test_densenet.GROUPED,
}
IMAGES = test_resnet.IMAGES


@pytest.mark.parametrize("size", [(5, 8), (2, 1)])
def test_what_lies_outside_the_image_is_never_the_largest(size):
    images = -1 - np.square(np.random.default_rng(8).normal(size=(2, *size, 3)).astype(np.float32))
    np.testing.assert_array_equal(halved(jnp.asarray(images)), plain.max_pooled(images))


@pytest.mark.parametrize("name", TINY)
def test_a_decoder_leads_back_to_the_image_or_says_which_sides_it_wants(name):
    encoder, decoder = TINY[name].encoder(jnp.float32, 2), TINY[name].decoder(jnp.float32, 2)

    def sizes(height, width):
        def decoded():
            key, images = jax.random.key(0), jnp.ones((2, height, width, 1))
            return decoder.init_with_output(key, encoder.init_with_output(key, images, False)[0], False)[0]

        return [m.shape[1:] for m in jax.eval_shape(decoded)]

    assert sizes(16, 24) == [(16, 24, 2), (8, 12, 4), (4, 6, 4)]
    with pytest.raises(UserError, match="divisible by 8"):
        sizes(19, 14)


@functools.cache
def loss_and_pull(options, dtype):
    """Loss and moments of training, and the gradient; the loss sees each map and the embedding."""
    encoder = options.encoder(dtype, 2)

    def loss(params, images):
        features, moments = encoder.apply({"params": params}, images, True, mutable=["moments"])
        maps = sum(jnp.square(island(m) - 0.5).mean() for m in features.maps)
        return maps + features.embedding.mean(), moments

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def params_of(options, images, dtype):
    return plain.variables_of(options.encoder(dtype, 2), images)["params"]


@pytest.mark.parametrize("name", TINY)
def test_two_groups_together_are_the_two_apart(name):
    with jax.enable_x64(True):
        params = params_of(TINY[name], IMAGES, jnp.float64)
        run = loss_and_pull(TINY[name], jnp.float64)
        (loss, moments), gradient = run(params, IMAGES)
        halves = [run(params, half) for half in np.split(IMAGES, 2)]
        (loss_sum, moments_sum), gradient_sum = jax.tree.map(lambda a, b: a + b, *halves)
        np.testing.assert_allclose(loss_sum / 2, loss, rtol=1e-12)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), moments_sum, moments)
        for a, b in zip(jax.tree.leaves(gradient_sum), jax.tree.leaves(gradient), strict=True):
            np.testing.assert_allclose(a / 2, b, atol=1e-9 * np.abs(b).max())


@pytest.mark.parametrize("name", TINY)
def test_gradient_in_float64_equals_finite_differences(name):
    with jax.enable_x64(True):
        params = params_of(TINY[name], IMAGES, jnp.float64)
        run, direction = loss_and_pull(TINY[name], jnp.float64), plain.drawn(params)
        _, gradient = run(params, IMAGES)
        up, down = (
            run(jax.tree.map(lambda p, d, h=h: p + h * d, params, direction), IMAGES)[0][0] for h in (1e-6, -1e-6)
        )
        slope = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)))
        np.testing.assert_allclose((up - down) / 2e-6, slope, rtol=1e-5)


@pytest.mark.parametrize("options", HALF.values(), ids=HALF)
def test_the_gradient_is_finite_in_bfloat16_on_the_smallest_images(options):
    side = 5 if isinstance(options, DenseNet) else 1
    images = np.random.default_rng(7).normal(size=(4, side, side, 1)).astype(np.float32)
    params = params_of(options, images, jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    (loss, _), gradient = loss_and_pull(options, jnp.bfloat16)(params, images)
    assert loss.dtype == jnp.float32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert np.abs(gradient["stem"]["kernel"]).max() > 0


@pytest.mark.parametrize("name", TINY)
def test_bfloat16_is_close(name):
    """Stated beforehand: 8 bits of mantissa through 8 layers, so 5% of the largest value."""
    images = np.float32(IMAGES)
    params = params_of(TINY[name], images, jnp.float32)
    low, high = (
        jax.jit(lambda e: e.apply({"params": params}, images, True, mutable=["moments"])[0], static_argnums=0)(
            TINY[name].encoder(dtype, 4)
        )
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    assert low.maps[-1].dtype == jnp.bfloat16
    assert low.embedding.dtype == jnp.float32
    for a, b in zip(low.maps, high.maps, strict=True):
        np.testing.assert_allclose(a.astype(jnp.float32), b, atol=0.05 * float(jnp.abs(b).max()))


@pytest.mark.parametrize("name", SHALLOW)
def test_simclr_takes_the_same_step_in_two_micro_batches(name):
    with jax.enable_x64(True):
        case = replace(cases.tiny("simclr"), model=SHALLOW[name])
        method = cases.method_of(case, jnp.float64)
        batch = cases.in_precision(cases.batch_of(case, 8), "float64")
        views = jax.eval_shape(method.views, jax.random.split(jax.random.key(0), 8), batch, None)
        params, carry = plain.drawn(jax.eval_shape(method.init, jax.random.key(0), views))

        @functools.partial(jax.jit, static_argnums=0)
        def step(micro_batches, params, carry, batch):
            start = Schedule(steps=10, steps_per_epoch=4).progress(jnp.zeros((), jnp.int32))
            mesh = make_mesh(jax.devices()[:1])
            loss, _, moments, gradient = loss_and_gradient(method, params, carry, batch, start, 3, micro_batches, mesh)
            return loss, moments, gradient

        whole, halves = (jax.tree.leaves(step(count, params, carry, batch)) for count in (1, 2))
        assert all(np.abs(leaf).max() > 0 for leaf in whole)
        for a, b in zip(halves, whole, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9 * np.abs(b).max())
