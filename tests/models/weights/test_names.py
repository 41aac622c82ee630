"""Arrays as torch and native files call them: there and back they are the same, and they lie as torch has them."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.weights.networks import NETWORKS, SIZE, a_file, abstract, assert_equal, encoder_of, filled

from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT
from jaxssl.models.weights.files import read_file, write_file
from jaxssl.models.weights.names import table_of
from jaxssl.models.weights.native import from_native, is_native, to_native
from jaxssl.models.weights.paths import by_path
from jaxssl.models.weights.torch import from_torch, to_torch


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
        ("vgg", "level1/conv1/conv/kernel", "features.5.weight", "ijco->ocij"),
        ("vgg with a classifier", "level1/conv0/conv/kernel", "features.7.weight", "ijco->ocij"),
        ("vgg with a classifier", "level1/conv0/norm/scale", "features.8.weight", None),
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


def test_a_backbone_of_somebody_else_has_names_of_its_own():
    """Be its module called as one of ours."""
    theirs = type("ResNet", (ResNet,), {"__module__": "mine.models.resnet"})()
    assert table_of(ResNet()) is not None
    assert table_of(theirs) is None
