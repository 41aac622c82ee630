"""What a card says of timm: the arguments make the network that the file's tensors are of."""

import ast
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT
from jaxssl.models.weights.timm import lines
from jaxssl.models.weights.torch import to_torch

SIZE = (64, 32)


def shapes_of(model):
    """Those that a file of this encoder has in torch's names."""
    encoder = model.encoder(jnp.float32, 1)
    variables = jax.eval_shape(lambda: encoder.init(jax.random.key(0), jnp.zeros((1, *SIZE, 2)), train=False))
    own = {kind: variables.get(kind, {}) for kind in ("params", "statistics")}
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), own)
    return {name: tensor.shape for name, tensor in to_torch(model, {"encoder": empty}, SIZE).tensors.items()}


def told(model):
    """The builder, its keywords as text, the file's shapes and the last line."""
    shapes = shapes_of(model)
    text = lines(model, shapes, 2, SIZE, "model.safetensors")
    (made,) = [line for line in text if line.startswith("model = ")]
    call = ast.parse(made.removeprefix("model = "), mode="eval").body
    assert isinstance(call, ast.Call)
    keywords = {word.arg: ast.unparse(word.value) for word in call.keywords}
    assert (keywords.pop("in_chans"), keywords.pop("num_classes")) == ("2", "0")
    return ast.unparse(call.func), keywords, shapes, text[-1]


def test_resnet():
    builder, keywords, shapes, last = told(ResNet(blocks=(1, 2, 1, 1), bottleneck=True))
    assert builder == "timm.models.resnet.ResNet"
    assert keywords == {
        "block": "timm.models.resnet.Bottleneck",
        "layers": "(1, 2, 1, 1)",
        "norm_layer": "partial(torch.nn.BatchNorm2d, eps=1e-05)",
    }
    assert shapes["layer2.1.conv3.weight"] == (512, 128, 1, 1)
    assert last == "embedding = model.eval()(images)"


def test_group_normalisation_is_that_of_timm_where_all_groups_are():
    narrow = ResNet(blocks=(1, 1, 1, 1), norm=Norm("group", channel_groups=8, epsilon=1e-3))
    assert told(narrow)[1]["norm_layer"] == "partial(timm.layers.GroupNorm, num_groups=8, eps=0.001)"
    wide = replace(narrow, norm=Norm("group", channel_groups=64))
    assert lines(wide, shapes_of(wide), 2, SIZE, "model.safetensors") == ()


def test_densenet():
    builder, keywords, shapes, last = told(DenseNet((1, 2, 1, 1), growth=4, width=8, representation=(5,)))
    assert builder == "timm.models.densenet.DenseNet"
    assert keywords.items() >= {"growth_rate": "4", "block_config": "(1, 2, 1, 1)"}.items()
    assert shapes["features.conv0.weight"][0] == 2 * 4
    assert {name.partition(".")[0] for name in shapes} == {"features", "representation"}
    assert last.endswith("without the representation: not the embedding that jaxssl.load gives")


@pytest.mark.parametrize(("norm", "made"), [(None, "None"), (Norm(), "partial(torch.nn.BatchNorm2d, eps=1e-05)")])
def test_vgg(norm, made):
    builder, keywords, shapes, last = told(VGG((1, 2), (4, 6), norm=norm))
    layers = [step for layer in ast.literal_eval(keywords["cfg"]) for step in _steps(layer, norm is not None)]
    here = {f"features.{n}.weight": (width,) for n, width in enumerate(layers) if width}
    assert {name: shape[:1] for name, shape in shapes.items() if name.endswith("weight")} == here
    assert (builder, keywords["norm_layer"]) == ("timm.models.vgg.VGG", made)
    assert "model.eval().features(images).mean((2, 3))" in last  # and not what timm puts behind them


def _steps(layer, normalised):
    """What timm counts for one entry: how many it makes of a layer with weights, 0 of one without."""
    return [0] if layer == "M" else [layer, *[layer] * normalised, 0]


def test_the_places_of_a_vgg_lie_as_in_its_embedding():
    assert "(images), 3).permute(0, 2, 3, 1).flatten(1)" in told(VGG((1,), (4,), grid=3))[3]


@pytest.mark.parametrize(
    ("changes", "tokens", "expected"),
    [
        ({}, 1, {"class_token": "True", "global_pool": "'token'", "init_values": "None"}),
        ({"pool": "mean"}, 0, {"class_token": "False", "global_pool": "'avg'", "init_values": "None"}),
        ({"registers": 3, "layer_scale": 0.0}, 4, {"class_token": "True", "reg_tokens": "3", "init_values": "1.0"}),
    ],
)
def test_vit(changes, tokens, expected):
    model = replace(ViT(patch=(8, 4), width=12, depth=2, heads=3), **changes)
    builder, keywords, shapes, _ = told(model)
    assert builder == "timm.models.vision_transformer.VisionTransformer"
    assert keywords.items() >= expected.items()
    sizes = {name: ast.literal_eval(keywords[name]) for name in ("img_size", "patch_size", "embed_dim", "depth")}
    assert sizes == {"img_size": SIZE, "patch_size": (8, 4), "embed_dim": 12, "depth": 2}
    assert (keywords["num_heads"], keywords["mlp_ratio"], keywords["fc_norm"]) == ("3", "4.0", "False")
    # With no_embed_class off timm has a position for the class token and for each register, before those of patches.
    assert keywords["no_embed_class"] == "False"
    assert shapes["pos_embed"] == (1, tokens + 8 * 8, 12)
    assert ("blocks.0.ls1.gamma" in shapes) == (keywords["init_values"] != "None")


@pytest.mark.parametrize(
    "model", [ResNet((1, 1), width=64), ResNet((1, 1, 1, 1), width=8), DenseNet((1, 1, 1, 1), growth=4, width=12)]
)
def test_what_timm_cannot_build_is_not_said(model):
    assert lines(model, shapes_of(model), 2, SIZE, "model.safetensors") == ()
