"""Functions and networks written as ONNX, run by onnxruntime, and compared with JAX."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from jaxssl.errors import UserError
from jaxssl.models.densenet import DenseNet
from jaxssl.models.heads import PixelHeads
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.unet import UNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SIZE = (2, 8, 12)
LAYOUT = ("NHWC", "HWIO", "NHWC")


def assert_agrees(function, variables, size=SIZE):
    """The model of a function, after it has given what JAX gives, for seven images and for the first alone."""
    from jaxssl.models.onnx import to_onnx

    model = to_onnx(function, variables, size, "out")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).standard_normal((7, *size)).astype(np.float32)
    whole = np.asarray(jax.jit(function)(variables, images))
    for count, expected in [(7, whole), (1, whole.take([0], axis=whole.shape.index(7)))]:
        (found,) = session.run(None, {"images": images[:count]})
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)
    return model


def drawn(*shape):
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


FUNCTIONS = {
    "arithmetic": lambda v, x: jnp.exp(-x) * x / (1 + jnp.square(x)) - jnp.maximum(x, 0.5),
    "activations": lambda v, x: nn.relu(x) + nn.gelu(x, approximate=False) + nn.leaky_relu(x, 0.01),
    "softmax": lambda v, x: nn.softmax(x, axis=1) - x.max((2, 3), keepdims=True),
    "pieces": lambda v, x: jnp.concatenate(
        [lax.slice_in_dim(x[:, 1:, :4, 3:9], 0, 6, 2, axis=3), x[:, :1, -4:, -3:]], 1
    ),
    "rows": lambda v, x: x[:, 1, 3] * x[:, 0, -1] + x[:, :, 2, :12].max(1),
    "unstacking": lambda v, x: sum(part * (n + 1) for n, part in enumerate(jnp.moveaxis(x, 2, 0))),
    "a token for each": lambda v, x: jnp.concatenate(
        [jnp.broadcast_to(jnp.arange(12.0), (x.shape[0], 2, 1, 12)), x], 2
    ),
    "constants alone": lambda v, x: x + jax.image.resize(jnp.arange(6.0).reshape(2, 3), (8, 12), "bicubic"),
    "pooling": lambda v, x: jnp.concatenate(
        [
            nn.max_pool(jnp.moveaxis(x, 1, -1), (3, 2), (2, 2), ((1, 1), (0, 0))),
            nn.avg_pool(jnp.moveaxis(x, 1, -1), (2, 2), (2, 2)),
        ],
        -1,
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    assert_agrees(FUNCTIONS[name], {})


@pytest.mark.parametrize(
    ("equation", "shape"),
    [
        ("bcyx,xd->bcyd", (12, 3)),
        ("bcyx,cyd->bxd", (2, 8, 3)),
        ("bcyx,dyx->bcd", (3, 8, 12)),
        ("bcyx,cde->bdyxe", (2, 4, 5)),
        ("bcyx,c->byx", (2,)),
        ("yd,bcyx->dbcx", (8, 3)),
    ],
)
def test_products_with_parameters(equation, shape):
    assert_agrees(
        lambda kernel, x: jnp.einsum(equation, *((kernel, x) if equation[0] == "y" else (x, kernel))), drawn(*shape)
    )


def test_a_parameter_that_is_used_in_two_layouts():
    assert_agrees(lambda kernel, x: x @ kernel + x @ kernel.T, drawn(12, 12))


@pytest.mark.parametrize("equation", ["bcyx,bczx->bcyz", "bcyx,bdyx->bcdy", "bcyx,bcyx->bx", "bcyx,bdyz->bcxdz"])
def test_products_of_images(equation):
    assert_agrees(lambda v, x: jnp.einsum(equation, x, jnp.exp(x)), {})


@pytest.mark.parametrize(
    "settings",
    [
        {"window_strides": (2, 1), "padding": ((1, 2), (0, 1))},
        {"window_strides": (1, 1), "padding": "SAME", "rhs_dilation": (2, 3)},
        {"window_strides": (1, 2), "padding": "VALID", "feature_group_count": 2},
    ],
)
def test_convolutions(settings):
    def convolve(kernel, x):
        return lax.conv_general_dilated(jnp.moveaxis(x, 1, -1), kernel, dimension_numbers=LAYOUT, **settings)

    assert_agrees(convolve, drawn(3, 2, 2 // settings.get("feature_group_count", 1), 4))


def variables_of(module, *inputs):
    """Variables of a module with no zeros or ones among them, and the shapes of what it makes of its inputs."""
    made, variables = jax.eval_shape(lambda *x: module.init_with_output(jax.random.key(0), *x, train=False), *inputs)

    def value(path, leaf):
        variance = jax.tree_util.keystr(path).endswith("['var']")
        return 0.5 + np.abs(drawn(*leaf.shape)) if variance else 0.4 * drawn(*leaf.shape)

    return jax.tree.map_with_path(value, variables), made


def encoder_of(model, size, other=None):
    """An encoder as a function of its variables, and these."""
    module = model.encoder(jnp.float32, 1)
    variables, _ = variables_of(module, jnp.zeros((1, *size[1:], size[0])))

    def embed(variables, images):
        return module.apply(variables, jnp.moveaxis(images, 1, -1), train=False).embedding

    return embed, variables, other or size


VIT = ViT(patch=(4, 6), width=12, depth=1, heads=3)
STUDY_C = replace(UNet.study_c(), widths=(4, 6), norm=Norm())


@pytest.mark.parametrize(
    ("model", "size", "other"),
    [
        (STUDY_C, (2, 8, 12), None),
        (UNet((4, 6), Norm("group", channel_groups=2)), (1, 8, 12), None),
        (ResNet((1, 1), width=4, bottleneck=True, representation=(5, 3)), (1, 32, 16), None),
        (DenseNet((2, 1), growth=2, width=4, remat=True), (1, 24, 16), None),
        (VGG((1, 2), (4, 6), norm=Norm(), grid=2, representation=(5,)), (1, 12, 20), None),
        (replace(VIT, registers=2, layer_scale=0.5, remat=True), (2, 8, 12), None),
        (replace(VIT, pool="mean", positions="sincos"), (1, 8, 12), None),
        (VIT, (1, 8, 12), (1, 12, 18)),
    ],
    ids=["study_c", "groups", "bottleneck", "densenet", "vgg", "vit", "mean", "resized"],
)
def test_encoders(model, size, other):
    assert_agrees(*encoder_of(model, size, other))


@pytest.mark.parametrize(
    "model",
    [STUDY_C, UNet((4, 6, 8)), ViT(patch=4, width=8, depth=2, heads=2, decoder_widths=(4, 6))],
    ids=["study_c", "unet", "vit"],
)
def test_segmentation_networks(model):
    modules, variables = [model.encoder(jnp.float32, 1), model.decoder(jnp.float32, 1), PixelHeads(3)], []
    x = jnp.ones((1, 8, 12, 2))
    for module in modules:
        own, x = variables_of(module, x)
        variables.append(own)

    def segment(variables, images):
        x = jnp.moveaxis(images, 1, -1)
        for module, own in zip(modules, variables, strict=True):
            x = module.apply(own, x, train=False)
        return jax.nn.softmax(x[0])

    assert_agrees(segment, variables)


def test_parameters_keep_their_names_and_any_batch_is_taken():
    model = assert_agrees(*encoder_of(UNet((4, 6), Norm()), SIZE))
    names = {constant.name for constant in model.graph.initializer}
    assert "params/level1/second/conv/kernel" in names
    (images,), (out,) = model.graph.input, model.graph.output
    assert [side.dim_param or side.dim_value for side in images.type.tensor_type.shape.dim] == ["batch", *SIZE]
    assert [side.dim_param or side.dim_value for side in out.type.tensor_type.shape.dim] == ["batch", 6]


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda v, x: jnp.sort(x), "computes 'sort'"),
        (lambda v, x: x[:, :, jnp.array([3, 1, 1])], "indexing by an array"),
        (lambda v, x: lax.conv_transpose(jnp.moveaxis(x, 1, -1), jnp.ones((2, 2, 2, 3)), (2, 2), "SAME"), "transposed"),
        (
            lambda v, x: lax.scan(lambda y, row: (y + row, None), 0 * x[:, 0], jnp.moveaxis(x, 1, 0))[0],
            "computes 'scan'",
        ),
    ],
)
def test_what_has_no_rule_is_refused_by_name(function, sentence):
    from jaxssl.models.onnx import to_onnx

    with pytest.raises(UserError, match=f"{sentence}.*; export it with --format safetensors"):
        to_onnx(function, {}, SIZE, "out")
