"""Functions and networks written as ONNX, run by onnxruntime, and compared with JAX."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from jaxssl.errors import UserError
from jaxssl.models.heads import PixelHeads
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.unet import UNet
from jaxssl.models.vit import ViT

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SIZE = (2, 8, 12)
LAYOUT = ("NHWC", "HWIO", "NHWC")


def agree(function, variables, size=SIZE):
    """The model of a function, after it has given what JAX gives, for one image and for five."""
    from jaxssl.models.onnx import to_onnx

    model = to_onnx(function, variables, size, "out")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 5):
        images = np.random.default_rng(count).standard_normal((count, *size)).astype(np.float32)
        expected = np.asarray(jax.jit(function)(variables, images))
        (found,) = session.run(None, {"images": images})
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)
    return model


def drawn(*shape):
    return jax.random.normal(jax.random.key(len(shape)), shape)


FUNCTIONS = {
    "arithmetic": lambda v, x: jnp.exp(-jnp.abs(x)) * jnp.tanh(x) / (1 + x**2) - jnp.sqrt(jnp.abs(x) + 1) ** 3,
    "activations": lambda v, x: nn.silu(x) + nn.gelu(x, approximate=False) + nn.gelu(x) + nn.leaky_relu(x, 0.01),
    "error function": lambda v, x: lax.erf(x) - lax.erfc(x) + lax.rsqrt(1 + jnp.square(x)),
    "choices": lambda v, x: jnp.where((x > 0.1) & ~(x >= 1) | (x < -1), jnp.clip(x, -1.5, 1.2), jnp.floor(x)),
    "comparisons": lambda v, x: ((jnp.sign(x) != 1) | (x <= 0)).astype(jnp.int32).sum((1, 2)),
    "softmax": lambda v, x: nn.softmax(x, axis=1) + nn.log_softmax(x) - x.min((2, 3), keepdims=True),
    "pieces": lambda v, x: jnp.concatenate(
        [lax.slice_in_dim(x[:, 1:, :4, 3:9], 0, 6, 2, axis=3), x[:, :1, -4:, -3:]], 1
    ),
    "rows": lambda v, x: x[:, 1, 3] * x[:, 0, -1] + x[:, :, 2, :12].max(1),
    "unstacking": lambda v, x: sum(part * (n + 1) for n, part in enumerate(jnp.moveaxis(x, 2, 0))),
    "splitting": lambda v, x: jnp.split(x, [3, 7], axis=3)[1] @ jnp.swapaxes(jnp.split(x, [3, 7], axis=3)[1], 2, 3),
    "padding": lambda v, x: jnp.pad(x, ((0, 0), (0, 0), (2, 1), (0, 3)), constant_values=0.5),
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
    "group normalisation": lambda v, x: nn.GroupNorm(3).apply({"params": v}, jnp.moveaxis(x, 1, -1).repeat(3, -1)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    agree(FUNCTIONS[name], {"scale": drawn(6), "bias": drawn(6)})


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
    agree(lambda kernel, x: jnp.einsum(equation, *((kernel, x) if equation[0] == "y" else (x, kernel))), drawn(*shape))


def test_a_parameter_that_is_used_in_two_layouts():
    agree(lambda kernel, x: x @ kernel + x @ kernel.T, drawn(12, 12))


@pytest.mark.parametrize("equation", ["bcyx,bczx->bcyz", "bcyx,bdyx->bcdy", "bcyx,bcyx->bx", "bcyx,bdyz->bcxdz"])
def test_products_of_images(equation):
    agree(lambda v, x: jnp.einsum(equation, x, jnp.cos(x)), {})


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

    agree(convolve, drawn(3, 2, 2 // settings.get("feature_group_count", 1), 4))


def encoder_of(model, size, other=None):
    """An encoder as a function of variables with no zeros or ones, and these."""
    module = model.encoder(jnp.float32, 1)
    variables = module.init(jax.random.key(0), jnp.zeros((1, *size[1:], size[0])), train=False)
    variables = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.abs(drawn(*leaf.shape)), variables)

    def embed(variables, images):
        return module.apply(variables, jnp.moveaxis(images, 1, -1), train=False).embedding

    return embed, variables, other or size


VIT = ViT(patch=(4, 6), width=12, depth=1, heads=3)


@pytest.mark.parametrize(
    ("model", "size", "other"),
    [
        (UNet((4, 6, 8)), (2, 8, 12), None),
        (UNet((4, 6), Norm("group", channel_groups=2)), (1, 8, 12), None),
        (ResNet((1, 1), width=4), (1, 32, 16), None),
        (replace(VIT, registers=2, layer_scale=0.5), (2, 8, 12), None),
        (replace(VIT, depth=2, pool="mean", positions="sincos", scan=True, remat=True), (1, 8, 12), None),
        (replace(VIT, scan=True), (1, 8, 12), (1, 12, 18)),
    ],
    ids=["unet", "groups", "resnet", "vit", "scanned", "resized"],
)
def test_encoders(model, size, other):
    agree(*encoder_of(model, size, other))


def test_a_segmentation_network():
    model, heads = UNet((4, 6), Norm()), PixelHeads(3)
    encoder, decoder = model.encoder(jnp.float32, 1), model.decoder(jnp.float32, 1)
    features, first = encoder.init_with_output(jax.random.key(0), jnp.ones((1, 8, 12, 2)), train=False)
    maps, second = decoder.init_with_output(jax.random.key(1), features, train=False)
    variables = [first, second, heads.init(jax.random.key(2), maps, train=False)]

    def segment(variables, images):
        x = jnp.moveaxis(images, 1, -1)
        for module, own in zip((encoder, decoder, heads), variables, strict=True):
            x = module.apply(own, x, train=False)
        return jax.nn.softmax(x[0])

    agree(segment, variables)


def test_parameters_keep_their_names_and_any_batch_is_taken():
    model = agree(*encoder_of(UNet((4, 6), Norm()), SIZE))
    names = {constant.name for constant in model.graph.initializer}
    assert "params/level1/second/conv/kernel" in names
    (images,), (out,) = model.graph.input, model.graph.output
    assert [side.dim_param or side.dim_value for side in images.type.tensor_type.shape.dim] == ["batch", *SIZE]
    assert [side.dim_param or side.dim_value for side in out.type.tensor_type.shape.dim] == ["batch", 6]


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda v, x: jnp.sort(x), "computes 'sort'"),
        (lambda v, x: x[:, :, jnp.array([3, 1, 1])], "Indexing by an array"),
        (lambda v, x: lax.conv_transpose(jnp.moveaxis(x, 1, -1), jnp.ones((2, 2, 2, 3)), (2, 2), "SAME"), "transposed"),
        (lambda v, x: lax.scan(lambda y, row: (y + row, None), 0 * x[:, 0], jnp.moveaxis(x, 1, 0))[0], "loops over"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(function, sentence):
    from jaxssl.models.onnx import to_onnx

    with pytest.raises(UserError, match=sentence):
        to_onnx(function, {}, SIZE, "out")
