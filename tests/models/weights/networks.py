"""Small networks of every kind, with random values in the place of everything: nothing is compiled to make them.

And what tests of their weights ask of files and of what is taken from them.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.unet import UNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT
from jaxssl.models.weights.files import File
from jaxssl.models.weights.paths import by_path, unrolled

SIZE = (32, 48)
GROUPS = Norm(type="group")
SMALL_VIT = {"patch": 8, "width": 12, "depth": 2, "heads": 2}
NETWORKS = {
    "resnet": ResNet(blocks=(1, 2), width=4, decoder_widths=(4, 8, 8)),
    "resnet of bottlenecks": ResNet(blocks=(2, 1), width=4, bottleneck=True, norm=GROUPS, decoder_widths=(4, 8, 8)),
    "densenet": DenseNet(layers=(2, 1), growth=4, width=8, representation=(8, 4), decoder_widths=(4, 8, 8)),
    "vgg": VGG(depths=(1, 2), widths=(4, 8), representation=(6,), decoder_widths=(4, 8)),
    "vgg with a classifier": VGG(
        depths=(2, 1), widths=(4, 8), norm=Norm(), grid=2, representation=(8, 6), decoder_widths=(4, 8)
    ),
    "vit": ViT(**SMALL_VIT, decoder_widths=(4, 4, 8)),
    "vit, looped over": ViT(**SMALL_VIT, pool="mean", registers=3, layer_scale=0.1, scan=True),
    "vit, fixed positions": ViT(**SMALL_VIT, positions="sincos", registers=2),
    "vit, mean without registers": ViT(**SMALL_VIT, pool="mean", positions="sincos"),
    "u-net": UNet(widths=(4, 8, 8), norm=Norm(group=2)),
}


def abstract(model, size=SIZE, channels=3, hidden=False, decoder=True):
    """Shapes of the variables of encoder and, where there is one, decoder, by part."""
    encoder = model.encoder(jnp.float32, 1)
    images = jax.ShapeDtypeStruct((2, *size, channels), jnp.float32)
    masks = {"hidden": jnp.zeros((2, (size[0] // 8) * (size[1] // 8)))} if hidden else {}

    def make(images):
        features, variables = encoder.init_with_output(jax.random.key(0), images, train=False, **masks)
        parts = {"encoder": variables}
        if decoder and (isinstance(model, UNet) or model.decoder_widths):
            parts["decoder"] = model.decoder(jnp.float32, 1).init(jax.random.key(0), features, train=False)
        return parts

    parts = jax.eval_shape(make, images)
    return {part: {kind: dict(own.get(kind, {})) for kind in ("params", "statistics")} for part, own in parts.items()}


def filled(parts, seed=0):
    """Random arrays of these shapes."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(leaf.dtype), parts)


def a_file(tensors, metadata=None):
    return File("given.safetensors", dict(sorted(tensors.items())), metadata or {}, "")


def encoder_of(model, **shape):
    """Random variables of the encoder alone."""
    return filled({"encoder": abstract(model, decoder=False, **shape)["encoder"]})


def assert_equal(found, wanted):
    found, wanted = by_path(found), by_path(unrolled(wanted))
    assert found.keys() == wanted.keys()
    for path, leaf in wanted.items():
        np.testing.assert_array_equal(found[path], leaf, strict=True, err_msg=path)


def fates(taken):
    return {line.name: (line.fate, line.why) for line in taken.account}
