"""Every tensor of the released networks has its place in ours, or is set aside for a reason."""

from dataclasses import replace

import numpy as np
import pytest
from models.weights import published
from models.weights.networks import a_file, abstract

from jaxssl.models.densenet import DenseNet
from jaxssl.models.resnet import ResNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT
from jaxssl.models.weights.likeness import likeness
from jaxssl.models.weights.torch import from_torch

BASE = replace(ViT.base(), scan=True)
DINOV2 = replace(ViT.small(), patch=14, registers=4, layer_scale=1e-5, scan=True)
CLASSIFIER = "a classifier, or a head of a pretext"
COUNTER = "a counter that nothing here uses"
DECODER = "the decoder of a pretext"
RESNET50 = published.resnet((3, 4, 6, 3), bottleneck=True)
DENSENET121 = published.densenet((6, 12, 24, 16), growth=32, stem=64)
VGG16_BN = published.vgg(published.VGG16, normalised=True)


def without_values(shapes):
    """Zeros that take no memory: one is seen everywhere."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("shapes", "tensors", "model", "size", "aside"),
    [
        (RESNET50, 320, ResNet.resnet50(), (64, 64), {CLASSIFIER: 2, COUNTER: 53}),
        (DENSENET121, 727, DenseNet.densenet121(), (64, 64), {CLASSIFIER: 2, COUNTER: 121}),
        (VGG16_BN, 97, VGG.vgg16_bn(), (64, 64), {CLASSIFIER: 6, COUNTER: 13}),
        (published.vit_b_16(), 152, BASE, (224, 224), {CLASSIFIER: 2}),
        (published.dinov2_vits14_reg(), 176, DINOV2, (518, 518), {"left behind, as there is none here": 1}),
        (published.mae_vit_base(), 254, BASE, (224, 224), {DECODER: 104}),
    ],
    ids=["resnet50", "densenet121", "vgg16_bn", "vit_b_16", "dinov2_vits14_reg", "mae_vit_base"],
)
def test_every_tensor_is_used_or_set_aside_for_a_reason(shapes, tensors, model, size, aside):
    assert len(shapes) == tensors
    file = a_file(without_values(shapes))
    taken = from_torch(model, file, {"encoder": abstract(model, size, decoder=False)["encoder"]})
    assert {line.name for line in taken.account} == set(shapes)
    reasons = [line.why for line in taken.account if line.fate == "left"]
    assert {why: reasons.count(why) for why in reasons} == aside
    assert sum(line.fate == "used" for line in taken.account) == tensors - sum(aside.values())


@pytest.mark.parametrize(
    ("shapes", "parameters"),
    [
        (RESNET50, 25_557_032),
        (DENSENET121, 7_978_856),
        (VGG16_BN, 138_365_992),
        (published.vit_b_16(), 86_567_656),
        (published.dinov2_vits14_reg(), 22_058_112),
        (published.mae_vit_base(), 111_907_840),
    ],
)
def test_the_list_itself_has_the_published_numbers_of_parameters(shapes, parameters):
    trained = [shape for name, shape in shapes.items() if not name.endswith(("_mean", "_var", "_tracked"))]
    assert sum(map(int, map(np.prod, trained))) == parameters


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        (published.resnet((2, 2, 2, 2), bottleneck=False), "ResNet-18"),
        (RESNET50, "ResNet-50"),
        (DENSENET121, "DenseNet-121"),
        (published.vgg(published.VGG16, normalised=False), "VGG-16"),
        (VGG16_BN, "VGG-16 with batch normalisation"),
        (published.vit_b_16(), "ViT-B/16 of 12 blocks"),
        (published.dinov2_vits14_reg(), "ViT-S/14 of 12 blocks"),
    ],
)
def test_published_networks_are_recognised_by_names_and_shapes(shapes, name):
    assert likeness({f"module.{key}": shape for key, shape in shapes.items()}) == name


def test_fixed_positions_of_mae_are_ours():
    """He et al.: a quarter of the channels each for sin x, cos x, sin y, cos y, of falling frequencies."""
    model = replace(BASE, positions="sincos")
    tensors = without_values(published.mae_vit_base())
    frequencies = 1 / 10000 ** (np.arange(192) / 192)
    row = [np.zeros(768)]
    for y in range(14):
        row += [np.concatenate([f(at * frequencies) for at in (x, y) for f in (np.sin, np.cos)]) for x in range(14)]
    tensors["pos_embed"] = np.stack(row).astype(np.float32)[None]
    taken = from_torch(model, a_file(tensors), {"encoder": abstract(model, (224, 224), decoder=False)["encoder"]})
    assert next(line.why for line in taken.account if line.name == "pos_embed") == (
        "the same sines and cosines are computed here"
    )
