"""Heads normalised in groups, as BYOL's are: devices and micro-batches do not change what they learn.

The contract kit has its heads without, since a batch normalisation so near the loss enlarges rounding in float32.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods.backbone import SIZE, Backbone, batch_of

from jaxssl.methods import byol, simclr
from jaxssl.methods.base import Spec, build
from jaxssl.train.mesh import make_mesh, put_batch
from jaxssl.train.step import Schedule, loss_and_gradient

OPTIONS = {
    "byol": byol.Options(projector=(7, 3), predictor=(6, 3)),
    "simclr": simclr.Options(projector=(7, 3), projector_norm=True),
}


def result(options, devices, micro_batches):
    method = build(options, Backbone(), Spec(SIZE, dtype=jnp.float64))
    batch = {**batch_of(32), "place": np.arange(32, dtype=np.int32)}
    batch = {name: x.astype(np.float64) if x.dtype.kind == "f" else x for name, x in batch.items()}
    params, carry = jax.jit(method.init)(jax.random.key(0), jnp.zeros((1, 2, *SIZE, 1)))
    mesh, progress = make_mesh(jax.devices()[:devices]), Schedule(steps=10, steps_per_epoch=4).progress(jnp.int32(0))

    @jax.jit
    def one(batch):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            loss, statistics, moments, gradient = loss_and_gradient(
                method, params, carry, batch, progress, 3, micro_batches, mesh
            )
        return loss, gradient, method.update(params, carry, statistics, moments, progress)

    return jax.device_get(one(put_batch(mesh, batch)))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_devices_and_micro_batches_do_not_change_the_step(options):
    with jax.enable_x64(True):
        wanted = result(options, 1, 1)
        assert all(np.abs(leaf).max() > 1e-6 for leaf in jax.tree.leaves(wanted[1]))
        for split in ((2, 4), (8, 1)):
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9 * np.abs(a).max()),
                wanted,
                result(options, *split),
            )
