"""The same weights in jaxssl and in plain torch give the same numbers, whichever way they went between the two."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.unet import UNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT
from jaxssl.models.weights.files import read_file
from jaxssl.models.weights.torch import from_torch, to_torch

torch = pytest.importorskip("torch")
networks = pytest.importorskip("external.torch_networks")
save_file = pytest.importorskip("safetensors.torch").save_file

IMAGES = np.random.default_rng(0).normal(size=(2, 40, 56, 3)).astype(np.float32)
GRID = (5, 7)


class Pair(NamedTuple):
    """A network in both languages."""

    ours: object
    theirs: object


def vit(has_class, registers, scale):
    ours = ViT(
        patch=8,
        width=24,
        depth=2,
        heads=3,
        pool="token" if has_class else "mean",
        registers=registers,
        layer_scale=0.1 if scale else None,
    )
    return Pair(ours, lambda: networks.ViT(8, 24, 2, 3, GRID[0] * GRID[1], has_class, registers, scale))


PAIRS = {
    "resnet, basic": Pair(
        ResNet(blocks=(1, 2), width=8, decoder_widths=(8, 8, 8)), lambda: networks.ResNet((1, 2), 8, False)
    ),
    "resnet, bottleneck": Pair(
        ResNet(blocks=(2, 1), width=8, bottleneck=True, decoder_widths=(8, 8, 8)),
        lambda: networks.ResNet((2, 1), 8, True),
    ),
    "densenet": Pair(
        DenseNet(layers=(2, 1), growth=4, width=8, decoder_widths=(8, 8, 8)), lambda: networks.DenseNet((2, 1), 4, 8)
    ),
    "vgg": Pair(VGG(depths=(1, 2), widths=(4, 8), decoder_widths=(4, 8)), lambda: networks.VGG((1, 2), (4, 8), False)),
    "vgg, normalised": Pair(
        VGG(depths=(2, 1), widths=(4, 8), norm=Norm(), decoder_widths=(4, 8)),
        lambda: networks.VGG((2, 1), (4, 8), True),
    ),
    "vgg, classifier": Pair(
        VGG(depths=(1, 1), widths=(4, 8), grid=3, representation=(16, 12, 10), decoder_widths=(4, 8)),
        lambda: networks.VGG((1, 1), (4, 8), False, 3, (16, 12, 10)),
    ),
    "vit, class token": vit(True, 0, False),
    "vit, class token, registers, scale": vit(True, 2, True),
    "vit, mean, registers": vit(False, 3, False),
    "u-net": Pair(UNet(widths=(4, 8, 12, 8)), lambda: networks.UNet((4, 8, 12, 8))),
}


@pytest.fixture(params=PAIRS)
def pair(request):
    ours, make = PAIRS[request.param]
    torch.manual_seed(1)
    theirs = make().eval()
    with torch.no_grad():
        for name, value in theirs.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.dtype == torch.float32:
                value.copy_(0.3 * torch.randn(value.shape) + (value if value.ndim == 1 else 0))
    return Pair(ours, theirs)


def fresh(model):
    """Variables by part, of the encoder and, for a U-Net, of the decoder; statistics as if something had been seen."""
    encoder = model.encoder(jnp.float32, 1)
    features, variables = encoder.init_with_output(jax.random.key(0), IMAGES, train=False)
    parts = {"encoder": variables}
    if isinstance(model, UNet):
        parts["decoder"] = model.decoder(jnp.float32, 1).init(jax.random.key(1), features, train=False)
    random = np.random.default_rng(2)

    def moved(path, leaf):
        noise = random.normal(scale=0.3, size=leaf.shape)
        return (np.abs(leaf + noise) if path[-1].key == "var" else leaf + noise).astype(np.float32)

    parts = jax.tree_util.tree_map_with_path(moved, parts)
    return {part: {"params": own["params"], "statistics": own.get("statistics", {})} for part, own in parts.items()}


def outputs_here(model, parts):
    features = model.encoder(jnp.float32, 1).apply(parts["encoder"], IMAGES, train=False)
    if "decoder" in parts:
        return model.decoder(jnp.float32, 1).apply(parts["decoder"], features, train=False), features.embedding
    return features


def outputs_there(network):
    with torch.no_grad():
        maps, embedding = network(torch.from_numpy(IMAGES).permute(0, 3, 1, 2))
    return [x.permute(0, 2, 3, 1).numpy() for x in maps], embedding.numpy()


def assert_same(here, there):
    (maps, embedding), (their_maps, their_embedding) = here, there
    for ours, theirs in zip([*maps, embedding], [*their_maps, their_embedding], strict=True):
        scale = np.abs(theirs).max()
        assert scale > 0.01
        np.testing.assert_allclose(np.asarray(ours) / scale, theirs / scale, rtol=0, atol=1e-5)


def test_weights_of_torch_give_the_same_here(pair, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(pair.theirs.state_dict(), path, {"format": "pt", "grid": f"{GRID[0]}x{GRID[1]}"})
    taken = from_torch(pair.ours, read_file(path), fresh(pair.ours))
    assert_same(outputs_here(pair.ours, taken.variables), outputs_there(pair.theirs))


def test_weights_from_here_give_the_same_in_torch(pair):
    parts = fresh(pair.ours)
    tensors, _ = to_torch(pair.ours, parts, IMAGES.shape[1:3])
    pair.theirs.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in tensors.items()}, strict=True)
    assert_same(outputs_here(pair.ours, parts), outputs_there(pair.theirs))
