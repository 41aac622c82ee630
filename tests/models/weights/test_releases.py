"""Names of torchvision, timm and the releases of DINO, DINOv2 and MAE: the same arrays, whatever they are called."""

import re
from dataclasses import replace

import numpy as np
import pytest
from models.weights.networks import NETWORKS, SIZE, a_file, assert_equal, encoder_of, fates

from jaxssl.errors import UserError
from jaxssl.models.weights.torch import from_torch, to_torch

VIT = NETWORKS["vit"]

TORCHVISION = (
    ("patch_embed.proj", "conv_proj"),
    ("cls_token", "class_token"),
    ("pos_embed", "encoder.pos_embedding"),
    ("blocks.", "encoder.layers.encoder_layer_"),
    (".attn.qkv.", ".self_attention.in_proj_"),
    (".attn.proj.", ".self_attention.out_proj."),
    (".norm1.", ".ln_1."),
    (".norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.linear_1."),
    (".mlp.fc2.", ".mlp.3."),
)


def of_torchvision(name):
    if name.startswith("norm."):
        return f"encoder.ln.{name[5:]}"
    for here, there in TORCHVISION:
        name = name.replace(here, there)
    return name


RELEASES = {
    "torchvision": (of_torchvision, {"heads.head.weight": ("left", "a classifier, or a head of a pretext")}),
    "DINO, teacher beside student": (
        lambda name: f"teacher.backbone.{name}",
        {
            "teacher.head.last_layer.weight_g": ("left", "outside teacher.backbone."),
            "student.module.backbone.norm.weight": ("left", "outside teacher.backbone."),
        },
    ),
    "DataParallel": (
        lambda name: f"module.{name}",
        {"module.head.weight": ("left", "a classifier, or a head of a pretext")},
    ),
    "DINOv2 in chunks": (lambda name: re.sub(r"^blocks\.(\d)", r"blocks.\1.\1", name), {}),
    "MAE": (
        lambda name: name,
        {
            "decoder_blocks.0.attn.qkv.weight": ("left", "the decoder of a pretext"),
            "mask_token": ("left", "the decoder of a pretext"),
        },
    ),
}


@pytest.mark.parametrize("release", RELEASES)
def test_names_of_releases_are_found_without_being_told(release):
    renamed, others = RELEASES[release]
    model = replace(VIT, decoder_widths=())
    parts = encoder_of(model, size=(24, 24))
    tensors = {renamed(name): array for name, array in to_torch(model, parts, (24, 24)).tensors.items()}
    extra = {name: np.ones((1, 1, model.width), np.float32) for name in others}
    taken = from_torch(model, a_file(tensors | extra), parts)
    assert_equal(taken.variables, parts)
    assert {name: fates(taken)[name] for name in others} == others
    assert all(fates(taken)[name] == ("used", "") for name in tensors)


def test_of_two_equal_networks_without_a_word_for_it_none_is_chosen():
    model = NETWORKS["resnet"]
    parts = encoder_of(model)
    tensors = to_torch(model, parts, SIZE).tensors
    twice = {f"{prefix}.{name}": array for name, array in tensors.items() for prefix in ("left", "right")}
    with pytest.raises(UserError, match=r"2 networks of one kind, under 'left\.' and 'right\.'"):
        from_torch(model, a_file(twice), parts)
    key_and_query = {f"module.encoder_{which}.{name}": array for name, array in tensors.items() for which in "kq"}
    taken = from_torch(model, a_file(key_and_query), parts)
    assert fates(taken)["module.encoder_k.bn1.bias"] == ("left", "outside module.encoder_q.")


def test_a_word_for_the_network_to_take_is_a_whole_one():
    model = NETWORKS["resnet"]
    parts = encoder_of(model)
    tensors = to_torch(model, parts, SIZE).tensors
    followed = {f"{prefix}.{name}": array for name, array in tensors.items() for prefix in ("model", "model_ema")}
    assert fates(from_torch(model, a_file(followed), parts))["model.bn1.bias"] == ("left", "outside model_ema.")
    schema = {f"{prefix}.{name}": array for name, array in tensors.items() for prefix in ("schema", "other")}
    with pytest.raises(UserError, match=r"2 networks of one kind, under 'other\.' and 'schema\.'"):
        from_torch(model, a_file(schema), parts)


def test_the_first_densenets_have_one_dot_more():
    model = replace(NETWORKS["densenet"], representation=())
    parts = encoder_of(model)
    old = {
        re.sub(r"(denselayer\d\.(norm|conv))(\d)", r"\1.\3", name): array
        for name, array in to_torch(model, parts, SIZE).tensors.items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert_equal(from_torch(model, a_file(old), parts).variables, parts)
