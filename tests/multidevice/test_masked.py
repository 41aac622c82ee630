"""Masked methods in the forms that the contract kit does not build: SimMIM on a ViT, normalised patches, a fan."""

from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.bench import program
from jaxssl.methods import mim
from jaxssl.models.vit import Encoder
from jaxssl.train.mesh import by_sample, make_mesh, put_batch
from jaxssl.train.step import Schedule, loss_and_gradient

MIM, MAE = (cases.with_group(cases.tiny(name), 8) for name in ("mim", "mae"))
FORMS = {
    "simmim": replace(MIM, model=cases.VIT, method=mim.Options(patch=4, fill="token", error="l1", within="fan")),
    "mae in the fan": replace(MAE, method=replace(MAE.method, ratio=0.5, normalise=True, within="fan")),
    "replacement": replace(MIM, method=mim.Options(patch=4, fill="replacement", within="fan")),
}


@pytest.mark.parametrize("form", FORMS)
def test_loss_and_gradient_are_the_same_on_eight_devices_in_micro_batches(form):
    """In float64, where a fault shows and rounding does not."""
    with jax.enable_x64(True):
        case = FORMS[form]
        method, batch = cases.method_of(case, jnp.float64), cases.in_precision(cases.batch_of(case), "float64")
        batch["image"][:, :, :4] = 0  # outside of the fan
        progress = Schedule(10, 4).progress(jnp.int32(1))
        views = jax.jit(lambda keys, batch: method.views(keys, batch, progress))(
            jax.random.split(jax.random.key(0), 32), batch
        )
        params, carry = method.init(jax.random.key(1), views)

        def computed(devices, micro_batches):
            mesh = make_mesh(jax.devices()[:devices])

            @jax.jit
            def compute(params, carry, batch):
                return loss_and_gradient(method, params, carry, batch, progress, 3, micro_batches, mesh)

            loss, _, _, gradient = compute(params, carry, put_batch(mesh, batch))
            return jax.device_get((loss, gradient))

        wanted, got = computed(1, 1), computed(8, 4)
        for a, b in zip(jax.tree.leaves(wanted), jax.tree.leaves(got), strict=True):
            np.testing.assert_allclose(b, a, rtol=0, atol=1e-9 * max(np.abs(a).max(), 1e-12))


def test_visible_patches_are_gathered_on_their_own_device():
    encoder = Encoder(replace(cases.VIT, drop_path=0.0, remat=False), jnp.float32)
    images, visible = jnp.zeros((32, 16, 12, 1)), jnp.zeros((32, 3), jnp.int32)
    variables = encoder.init(jax.random.key(0), images, False, visible=visible)

    def tokens(variables, images, visible):
        return encoder.apply(variables, images, False, visible=visible).maps[0]

    samples = by_sample(make_mesh(jax.devices()[:8]))
    compiled = jax.jit(tokens, in_shardings=(None, samples, samples), out_shardings=samples)
    assert not program.collectives(compiled.lower(variables, images, visible).compile())
