"""Names of torchvision, timm and the releases of DINO, DINOv2 and MAE: the same arrays, whatever they are called."""

import re
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.weights.networks import NETWORKS, SIZE, abstract, filled

from jaxssl.errors import UserError
from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.positions import sine_cosine
from jaxssl.models.resnet import ResNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT
from jaxssl.models.weights.files import File, read_file, write_file
from jaxssl.models.weights.native import from_native, is_native, to_native
from jaxssl.models.weights.paths import by_path, unrolled
from jaxssl.models.weights.torch import from_torch, to_torch

VIT = NETWORKS["vit"]


def a_file(tensors, metadata=None):
    return File("given.safetensors", dict(sorted(tensors.items())), metadata or {}, "")


def encoder_of(model, **shape):
    """Random variables of the encoder alone."""
    return {"encoder": filled(abstract(model, **shape))["encoder"]}


def assert_equal(found, wanted):
    found, wanted = by_path(found), by_path(unrolled(wanted))
    assert found.keys() == wanted.keys()
    for path, leaf in wanted.items():
        np.testing.assert_array_equal(found[path], leaf, strict=True, err_msg=path)


def fates(taken):
    return {line.name: (line.fate, line.why) for line in taken.account}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("native", [False, True])
def test_there_and_back_is_equal_to_the_bit(name, native, tmp_path):
    model = NETWORKS[name]
    parts = filled(abstract(model))
    tensors, metadata = (to_native(parts), {}) if native else to_torch(model, parts, SIZE)
    file = read_file(write_file(tmp_path / "w.safetensors", tensors, metadata))
    assert is_native(file) == native
    taken = (from_native if native else from_torch)(model, file, jax.eval_shape(lambda: parts))
    assert_equal(taken.variables, parts)
    assert {line.fate for line in taken.account if line.name != "pos_embed"} == {"used"}
    assert {line.name for line in taken.account} == set(tensors)


LEVELS = st.lists(st.integers(1, 2), min_size=2, max_size=3).map(tuple)
WIDTHS = st.sampled_from([(), (4,), (6, 4)])
NORMS = st.sampled_from([Norm(), Norm(type="group", channel_groups=2)])
VARIED = st.one_of(
    st.builds(
        lambda blocks, **options: ResNet(blocks, 4, decoder_widths=(4,) * (len(blocks) + 1), **options),
        LEVELS,
        bottleneck=st.booleans(),
        norm=NORMS,
        representation=WIDTHS,
    ),
    st.builds(
        lambda layers, **options: DenseNet(layers, 4, 4, decoder_widths=(4,) * (len(layers) + 1), **options),
        LEVELS,
        norm=NORMS,
        representation=WIDTHS,
    ),
    st.builds(
        lambda depths, **options: VGG(depths, (4, 8, 4)[: len(depths)], decoder_widths=(4,) * len(depths), **options),
        LEVELS,
        norm=NORMS | st.none(),
        grid=st.integers(1, 3),
        representation=WIDTHS,
    ),
    st.builds(
        partial(ViT, width=8, heads=2),
        patch=st.sampled_from([8, (8, 4), (4, 16)]),
        depth=st.integers(1, 3),
        pool=st.sampled_from(["token", "mean"]),
        positions=st.sampled_from(["learnt", "sincos"]),
        registers=st.integers(0, 3),
        layer_scale=st.sampled_from([None, 0.1]),
        scan=st.booleans(),
    ),
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(VARIED)
def test_whatever_the_options_there_and_back_is_equal_to_the_bit(model):
    parts = filled(abstract(model))
    tensors, metadata = to_torch(model, parts, SIZE)
    assert_equal(from_torch(model, a_file(tensors, metadata), parts).variables, parts)


@pytest.mark.parametrize(
    ("model", "ours", "theirs", "turned"),
    [
        ("resnet", "level1/block0/shortcut/kernel", "layer2.0.downsample.0.weight", "ijco->ocij"),
        ("resnet", "stem_norm/mean", "bn1.running_mean", None),
        ("densenet", "level0/layer1/conv2/kernel", "features.denseblock1.denselayer2.conv2.weight", "ijco->ocij"),
        ("densenet", "level0/transition/kernel", "features.transition1.conv.weight", "ijco->ocij"),
        ("densenet", "norm/var", "features.norm3.running_var", None),
        ("vgg", "level1/conv1/kernel", "features.5.weight", "ijco->ocij"),
        ("vgg with a classifier", "level1/conv0/kernel", "features.7.weight", "ijco->ocij"),
        ("vgg with a classifier", "level1/norm0/scale", "features.8.weight", None),
        ("vgg with a classifier", "representation/layer1/kernel", "classifier.3.weight", "io->oi"),
        ("vit", "block1/attention/qkv/kernel", "blocks.1.attn.qkv.weight", "io->oi"),
        ("vit", "patch/kernel", "patch_embed.proj.weight", "ijco->ocij"),
        ("u-net", "level2/first/bias", "encoder.level2.first.conv.bias", None),
    ],
)
def test_arrays_have_the_names_and_the_layout_of_torch(model, ours, theirs, turned):
    parts = encoder_of(NETWORKS[model])
    kind = "statistics" if ours.endswith(("mean", "var")) else "params"
    array = by_path(parts)[f"encoder/{kind}/{ours}"]
    if turned:
        before, after = turned.replace("o", "z").split("->")
        array = np.einsum(f"{before}->{after}", array)
    np.testing.assert_array_equal(to_torch(NETWORKS[model], parts, SIZE).tensors[theirs], array, strict=True)


def test_a_linear_layer_on_a_map_sees_the_channel_first_in_torch():
    """timm has the same layer as a convolution as large as the map, and the next ones as convolutions of one pixel."""
    model = NETWORKS["vgg with a classifier"]
    parts = encoder_of(model)
    tensors = to_torch(model, parts, SIZE).tensors
    kernel = parts["encoder"]["params"]["representation"]["layer0"]["kernel"]
    y, x, channel = 1, 0, 5
    np.testing.assert_array_equal(
        tensors["classifier.0.weight"][:, channel * 4 + y * 2 + x], kernel[(y * 2 + x) * 8 + channel]
    )
    of_timm = {
        name.replace("classifier.0", "pre_logits.fc1").replace("classifier.3", "pre_logits.fc2"): array
        for name, array in tensors.items()
    }
    of_timm["pre_logits.fc1.weight"] = of_timm["pre_logits.fc1.weight"].reshape(8, 8, 2, 2)
    of_timm["pre_logits.fc2.weight"] = of_timm["pre_logits.fc2.weight"][..., None, None]
    assert_equal(
        from_torch(model, a_file(of_timm), abstract(model) | {"decoder": {"params": {}, "statistics": {}}}).variables,
        parts,
    )


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


def test_the_first_densenets_have_one_dot_more():
    model = replace(NETWORKS["densenet"], representation=())
    parts = encoder_of(model)
    old = {
        re.sub(r"(denselayer\d\.(norm|conv))(\d)", r"\1.\3", name): array
        for name, array in to_torch(model, parts, SIZE).tensors.items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert_equal(from_torch(model, a_file(old), parts).variables, parts)


def registers_with_positions(tensors):
    """As timm has them by default: every token has a place in the row."""
    moved = tensors["pos_embed"].copy()
    moved[:, 1:3] = 0.5
    return {**tensors, "pos_embed": moved}


def no_place_for_registers(tensors):
    """As DINOv2 has them."""
    return {**tensors, "pos_embed": np.delete(tensors["pos_embed"], [1, 2], axis=1)}


def no_place_for_any_token(tensors):
    """As `no_embed_class` of timm has it."""
    return {**tensors, "pos_embed": tensors["pos_embed"][:, 3:]}


@pytest.mark.parametrize("release", [registers_with_positions, no_place_for_registers, no_place_for_any_token])
def test_positions_of_all_or_some_tokens_mean_the_same(release):
    model = replace(VIT, registers=2, decoder_widths=())
    parts = encoder_of(model, size=(24, 24))
    tensors = to_torch(model, parts, (24, 24)).tensors
    assert tensors["pos_embed"].shape[1] == 1 + 2 + 9
    assert not tensors["pos_embed"][:, 1:3].any()
    taken = from_torch(model, a_file(release(tensors)), parts)
    params, wanted = taken.variables["encoder"]["params"], parts["encoder"]["params"]
    np.testing.assert_array_equal(params["positions"]["grid"], wanted["positions"]["grid"])
    of_class = wanted["positions"]["token"] * (release is not no_place_for_any_token)
    np.testing.assert_array_equal(params["positions"]["token"], of_class)
    moved = np.array([[0.0], [0.5], [0.5]]) * (release is registers_with_positions)
    np.testing.assert_allclose(params["tokens"], wanted["tokens"] + moved, rtol=1e-6)
    adapted = {name for name, (fate, _) in fates(taken).items() if fate == "adapted"}
    assert adapted == ({"reg_token"} if release is registers_with_positions else set())


def test_fixed_positions_are_compared_and_learnt_ones_are_not_taken_for_them():
    model = NETWORKS["vit, fixed positions"]
    parts = encoder_of(model)
    tensors, metadata = to_torch(model, parts, SIZE)
    np.testing.assert_allclose(
        tensors["pos_embed"][0, 3:], sine_cosine(4, 6, 12, np.float32).reshape(24, 12), atol=1e-6
    )
    taken = from_torch(model, a_file(tensors, metadata), parts)
    assert fates(taken)["pos_embed"] == ("left", "the same sines and cosines are computed here")
    learnt = {**tensors, "pos_embed": tensors["pos_embed"] + 0.01}
    with pytest.raises(UserError, match=r"are learnt, the recipe's fixed; set model\.positions to learnt"):
        from_torch(model, a_file(learnt, metadata), parts)


def test_a_norm_after_pooling_and_a_class_token_that_nobody_asks_for_are_told():
    model = NETWORKS["vit, mean without registers"]
    parts = encoder_of(model)
    tensors, metadata = to_torch(model, parts, SIZE)
    pooled = {
        name.replace("norm.", "fc_norm.") if name.startswith("norm.") else name: array
        for name, array in tensors.items()
    }
    pooled["cls_token"] = np.ones((1, 1, 12), np.float32)
    taken = from_torch(model, a_file(pooled, metadata), parts)
    assert_equal(taken.variables, parts)
    assert fates(taken)["fc_norm.weight"] == ("adapted", "normalises each token here, their mean there")
    assert fates(taken)["cls_token"] == ("left", "model.pool is mean: no class token")
