"""Every named network whole, in half precision on the smallest images it takes: gradients are finite numbers."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import plain
from models.segmenter import initialise, params_of, run, segmenter

from jaxssl.errors import UserError
from jaxssl.models.densenet import DenseNet
from jaxssl.models.resnet import ResNet
from jaxssl.models.unet import UNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT
from jaxssl.numerics import island

SMALLEST = {
    "resnet18": (ResNet.resnet18(), 1),
    "resnet50": (ResNet.resnet50(), 1),
    "densenet121": (DenseNet.densenet121(), 29),
    "vgg16": (VGG.vgg16(), 32),
    "vgg16_bn": (VGG.vgg16_bn(), 32),
    "unet": (UNet(), 64),
    "unet study_c": (UNet.study_c(), 16),
    "unet small": (UNet.small(), 16),
    "vit tiny": (ViT.tiny(), 16),
    "vit small": (ViT.small(), 16),
    "vit base": (ViT.base(), 16),
    "vit large": (ViT.large(), 16),
}


@pytest.mark.slow
@pytest.mark.parametrize(("options", "side"), SMALLEST.values(), ids=SMALLEST)
def test_gradients_in_bfloat16_are_finite(options, side):
    """Batch normalisation takes pairs, so often two values a channel; a U-Net is run to the maps of its outputs."""
    if side > 1:
        with pytest.raises(UserError):
            options.check_size((side - 1, side))
    if options.norm is not None:
        options = replace(options, norm=replace(options.norm, group=2))
    if isinstance(options, ViT):
        options = replace(options, scan=True)
    images = jnp.asarray(np.random.default_rng(7).normal(size=(4, side, side, 1)), jnp.float32)
    parts = {"encoder": options.encoder(jnp.bfloat16, 2)}
    if isinstance(options, UNet):
        parts = segmenter(options, outputs=2, scales=1, dtype=jnp.bfloat16, rows=2)
    variables = plain.drawn(jax.eval_shape(lambda: initialise(parts, images)))

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        given = {name: {**variables[name], "params": params[name]} for name in params}
        found, embedding = run(parts, given, images, True)
        maps = found if isinstance(options, UNet) else found.maps
        return sum(jnp.square(island(m) - 0.5).mean() for m in maps) + embedding.mean()

    value, gradient = loss(params_of(variables))
    assert np.isfinite(value)
    assert all(leaf.dtype == jnp.float32 and np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient["encoder"])) > 0
