"""What a network takes from a file is all of it or nothing, in its own shape; and the account says so."""

import json
from dataclasses import replace

import numpy as np
import pytest
from models.weights.networks import GROUPS, NETWORKS, SIZE, a_file, abstract, encoder_of, fates, filled

from jaxssl.errors import UserError
from jaxssl.models.weights.account import summed_up
from jaxssl.models.weights.native import from_native, to_native
from jaxssl.models.weights.paths import by_path
from jaxssl.models.weights.torch import from_torch, to_torch

RESNET, VIT = NETWORKS["resnet"], replace(NETWORKS["vit"], decoder_widths=())


def taken_by(model, given, fresh=None, **shape):
    """What `model` takes from a file of `given`, a network in the form of torch."""
    parts = encoder_of(given)
    tensors, metadata = to_torch(given, parts, SIZE)
    return parts, from_torch(
        model, a_file(tensors, metadata), fresh or {"encoder": abstract(model, **shape)["encoder"]}
    )


@pytest.mark.parametrize("name", ["resnet", "densenet", "vgg", "vit", "u-net"])
def test_the_first_convolution_is_folded_to_one_channel(name):
    model = NETWORKS[name]
    parts, taken = taken_by(model, model, channels=1)
    kernels = [by_path(variables) for variables in (parts, taken.variables)]
    (path,) = [path for path in kernels[0] if kernels[0][path].shape != kernels[1][path].shape]
    np.testing.assert_allclose(kernels[1][path], kernels[0][path].sum(2, keepdims=True), rtol=1e-5)
    adapted = [line for line in taken.account if line.fate == "adapted"]
    assert [line.why for line in adapted] == ["from 3 to 1 channels of the image, their sum shared equally"]
    assert (
        adapted[0].name
        == {
            "resnet": "conv1.weight",
            "densenet": "features.conv0.weight",
            "vgg": "features.0.weight",
            "vit": "patch_embed.proj.weight",
            "u-net": "encoder.level0.first.conv.weight",
        }[name]
    )


def test_positions_are_interpolated_to_the_grid_of_the_images():
    _, taken = taken_by(VIT, VIT, size=(16, 32))
    assert taken.variables["encoder"]["params"]["positions"]["grid"].shape == (2, 4, 12)
    assert fates(taken)["pos_embed"] == ("adapted", "interpolated from 4x6 to 2x4")


def test_what_a_file_cannot_have_is_begun_afresh_and_told():
    given = NETWORKS["vgg"]
    model = replace(given, representation=(5, 3))
    _, taken = taken_by(model, given, abstract(model))
    fresh = [line.name for line in taken.account if line.fate == "fresh"]
    assert {name.split("/")[0] for name in fresh} == {"encoder", "decoder"}
    assert [name for name in fresh if name.startswith("encoder")] == [
        f"encoder/params/representation/layer{layer}/{leaf}" for layer in (0, 1) for leaf in ("bias", "kernel")
    ]
    assert fates(taken)["representation.layer0.weight"] == ("left", "not in the form of model.representation")
    assert set(taken.variables) == {"encoder"}
    assert "representation" not in taken.variables["encoder"]["params"]


def test_a_mask_token_is_taken_where_patches_are_hidden_and_left_elsewhere():
    hiding = filled({"encoder": abstract(VIT, hidden=True)["encoder"]})
    plain = {"encoder": abstract(VIT)["encoder"]}
    tensors, metadata = to_torch(VIT, hiding, SIZE)
    assert tensors["mask_token"].shape == (1, 12)
    taken = from_torch(VIT, a_file(tensors, metadata), hiding)
    np.testing.assert_array_equal(taken.variables["encoder"]["params"]["mask_token"], tensors["mask_token"][0])
    assert fates(from_torch(VIT, a_file(tensors, metadata), plain))["mask_token"][0] == "left"
    tensors.pop("mask_token")
    taken = from_torch(VIT, a_file(tensors, metadata), hiding)
    assert fates(taken)["encoder/params/mask_token"] == ("fresh", "the file has none")
    assert "mask_token" not in taken.variables["encoder"]["params"]


@pytest.mark.parametrize(
    ("given", "model", "sentence"),
    [
        (
            "resnet",
            NETWORKS["densenet"],
            r"looks like a ResNet of 1-2 blocks, and the recipe has a DenseNet of 2-1 layers",
        ),
        (
            "u-net",
            RESNET,
            r"looks like a U-Net of 3 levels, and the recipe has a ResNet of 1-2 blocks: it lacks layer1",
        ),
        ("vgg", VIT, r"looks like a VGG of 3 convolutions, and the recipe has a ViT of width 12, patch 8, 2 blocks"),
        (
            "vgg",
            NETWORKS["vgg with a classifier"],
            r"looks like a VGG of 3 convolutions, and the recipe has a VGG of 3 convolutions with batch normalisation",
        ),
        (
            "vit",
            replace(VIT, depth=1),
            r"2 blocks, and .* 1 blocks: there is no place for blocks\.1\.attn\.proj\.bias, .* and 9 more",
        ),
        ("vit", replace(VIT, depth=3), r"2 blocks, and .* 3 blocks: it lacks blocks\.2\..* and 9 more"),
        (
            "vit",
            replace(VIT, layer_scale=0.1),
            r"it lacks blocks\.0\.ls1\.gamma, .* and 1 more; see model\.layer_scale",
        ),
        (
            replace(VIT, layer_scale=0.1),
            VIT,
            r"no place for blocks\.0\.ls1\.gamma, .* and 1 more; see model\.layer_scale\.",
        ),
        ("vit, looped over", VIT, r"has 3 registers \(reg_token\) and the recipe's 0: set model\.registers to 3"),
        (
            "resnet",
            replace(RESNET, norm=GROUPS),
            r"no place for bn1\.running_mean, .* and 13 more; see model\.norm\.type",
        ),
        (
            "resnet",
            replace(RESNET, width=8),
            r"fit .*: layer1\.0\.conv1\.weight makes \[3, 3, 4, 4\] there and \[3, 3, 8, 8\] here, .* 37 more",
        ),
        (
            "vit, mean without registers",
            VIT,
            r"it lacks (cls_token|pos_embed).*see model\.positions, model\.pool, model\.registers\.",
        ),
    ],
)
def test_another_network_is_refused_by_its_name_and_its_tensors(given, model, sentence):
    with pytest.raises(UserError, match=rf"^given\.safetensors.*{sentence}"):
        taken_by(model, NETWORKS[given] if isinstance(given, str) else given)


def test_a_tensor_that_comes_twice_is_not_chosen_from():
    parts = encoder_of(VIT)
    tensors, metadata = to_torch(VIT, parts, SIZE)
    tensors["blocks.0.mlp.linear_1.weight"] = tensors["blocks.0.mlp.fc1.weight"] + 1
    with pytest.raises(UserError, match=r"there is no place for blocks\.0\.mlp\.linear_1\.weight"):
        from_torch(VIT, a_file(tensors, metadata), parts)


def test_a_file_of_something_else_is_refused():
    tensors = {f"layers.{n}.blocks.0.attn.qkv.weight": np.ones((2, 2), np.float32) for n in range(4)}
    with pytest.raises(
        UserError, match=r"holds no network that is known here, and the recipe has a ResNet of 1-2 blocks"
    ):
        from_torch(RESNET, a_file(tensors), {"encoder": abstract(RESNET)["encoder"]})


@pytest.mark.parametrize("missing", ["blocks.1.mlp.fc2.bias", "pos_embed", "cls_token", "norm.weight"])
def test_no_tensor_may_be_missing(missing):
    parts = encoder_of(VIT)
    tensors, metadata = to_torch(VIT, parts, SIZE)
    del tensors[missing]
    with pytest.raises(UserError, match=rf"it lacks [^;]*\b{missing}\b"):
        from_torch(VIT, a_file(tensors, metadata), parts)


def test_half_a_decoder_is_refused():
    model = NETWORKS["u-net"]
    parts = filled(abstract(model))
    tensors = to_torch(model, parts, SIZE).tensors
    encoder = {name: array for name, array in tensors.items() if name.startswith("encoder.")}
    taken = from_torch(model, a_file(encoder), parts)
    assert set(taken.variables) == {"encoder"}
    assert {line.name.split("/")[0] for line in taken.account if line.fate == "fresh"} == {"decoder"}
    with pytest.raises(UserError, match=r"it lacks decoder\.level0\.first\.conv\.bias"):
        from_torch(model, a_file(encoder | {"decoder.up0.bias": tensors["decoder.up0.bias"]}), parts)


def test_a_decoder_with_more_than_was_asked_for_is_refused_and_one_that_was_not_asked_for_left():
    model = NETWORKS["u-net"]
    parts = filled(abstract(model))
    file = a_file(to_torch(model, parts, SIZE).tensors | {"decoder.up7.bias": np.ones(4, np.float32)})
    with pytest.raises(UserError, match=r"there is no place for decoder\.up7\.bias"):
        from_torch(model, file, parts)
    taken = from_torch(model, file, {"encoder": parts["encoder"]})
    assert fates(taken)["decoder.up7.bias"] == ("left", "a part that is not asked for")


def test_a_native_file_of_another_model_is_refused():
    parts = encoder_of(RESNET)
    recipe = {"recipe": json.dumps({"model": {"kind": "jaxssl.models.resnet:ResNet"}})}
    file = a_file(to_native(parts), recipe)
    with pytest.raises(
        UserError, match=r"looks like a ResNet, and the recipe has a ViT: it lacks encoder/params/block0"
    ):
        from_native(VIT, file, {"encoder": abstract(VIT)["encoder"]})
    wider = replace(RESNET, width=8)
    with pytest.raises(UserError, match=r"encoder/params/level0/block0/conv1/kernel makes \[3, 3, 4, 4\] there"):
        from_native(wider, file, {"encoder": abstract(wider)["encoder"]})


def test_a_long_account_is_summed_up_by_reason():
    _, taken = taken_by(RESNET, RESNET, channels=1)
    rows = summed_up(taken.account)
    assert [(row.fate, row.count) for row in rows] == [("used", len(taken.account) - 1), ("adapted", 1)]
    assert rows[0].names == "bn1.bias … layer2.1.conv2.weight"
