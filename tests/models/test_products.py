"""Linear maps of channels: the same numbers and gradients by whatever form, and the form that is meant for a CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from jaxssl.models import products
from jaxssl.models.products import along_channels, convolve, dense_product

DRAW = np.random.default_rng(0).normal


def assert_close(found, wanted):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


def squares(layer, x):
    """Sum of squares of a layer's output, with its gradient by parameters and input."""
    params = layer.init(jax.random.key(0), x)
    return jax.value_and_grad(lambda params, x: (layer.apply(params, x) ** 2).sum(), (0, 1))(params, x)


@pytest.mark.parametrize("cpu", [True, False])
def test_along_channels_is_the_sum_over_them(cpu, monkeypatch):
    monkeypatch.setattr(products, "on_cpu", lambda: cpu)
    x, kernel = DRAW(size=(2, 3, 4, 5)), DRAW(size=(5, 2, 2, 6))
    assert_close(along_channels(jnp.float32(x), jnp.float32(kernel)), np.einsum("bhwc,cijd->bhwijd", x, kernel))


@pytest.mark.parametrize(
    "options",
    [
        {"strides": 1, "padding": 0},
        {"strides": 2, "padding": "SAME"},
        {"padding": 1},
        {"padding": ((0, 1), (2, 0)), "strides": 2},
        {"feature_group_count": 2},
        {"input_dilation": 2, "padding": 0},
        {"kernel_dilation": 2},
    ],
)
@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_a_convolution_of_one_pixel_is_that_of_xla(options, size):
    x = jnp.float32(DRAW(size=(3, *size, 4)))
    ours, xla = (
        nn.Conv(6, (1, 1), **options, conv_general_dilated=each) for each in (convolve, lax.conv_general_dilated)
    )
    assert_close(squares(ours, x), squares(xla, x))


def test_a_dense_layer_is_that_of_flax():
    x = jnp.float32(DRAW(size=(3, 5, 4)))
    assert_close(squares(nn.Dense(8, dot_general=dense_product), x), squares(nn.Dense(8), x))


def kinds(function, *arguments):
    return [equation.primitive.name for equation in jax.make_jaxpr(function)(*arguments).eqns]


def test_which_form_is_asked_for(monkeypatch):
    x, one, three = jnp.zeros((2, 6, 6, 4)), jnp.zeros((1, 1, 4, 8)), jnp.zeros((3, 3, 4, 8))
    how = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "precision": None}

    def asked(kernel):
        return kinds(lambda x, kernel: convolve(x, kernel, (1, 1), "SAME", **how), x, kernel)

    monkeypatch.setattr(products, "on_cpu", lambda: True)
    assert "dot_general" in asked(one)
    assert asked(three) == ["conv_general_dilated"]
    monkeypatch.setattr(products, "on_cpu", lambda: False)
    assert asked(one) == ["conv_general_dilated"]


def test_the_gradient_of_a_kernel_is_one_product_of_two_matrices(monkeypatch):
    """Of three axes the compiler for CPUs would copy the larger operand first."""
    monkeypatch.setattr(products, "on_cpu", lambda: True)
    x, kernel = jnp.zeros((3, 5, 4)), jnp.zeros((4, 8))
    program = jax.make_jaxpr(jax.grad(lambda kernel: (along_channels(x, kernel) ** 2).sum()))(kernel)
    found = [equation for equation in program.eqns if equation.primitive.name == "dot_general"]
    assert [tuple(operand.aval.shape for operand in product.invars) for product in found] == [
        ((15, 4), (4, 8)),
        ((15, 8), (15, 4)),
    ]
