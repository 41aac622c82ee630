"""Attention against itself in float64, in half precision, and what is chosen for which device."""

import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo

from jaxssl.models import attention
from jaxssl.models.attention import attend, fastest
from jaxssl.models.vit import ViT


def test_attention_in_float64_is_that_of_float32_and_its_softmax_is_wide():
    with jax.enable_x64(True):
        q, k, v = (jnp.asarray(x) for x in np.random.default_rng(1).normal(size=(3, 2, 6, 2, 4)))
        wide = attend(3 * q, k, v)
        assert wide.dtype == jnp.float64
        np.testing.assert_allclose(attend(*(x.astype(jnp.float32) for x in (3 * q, k, v))), wide, atol=1e-6)
        # A shift by one vector of all keys cancels in the softmax: to 1e-12 only if nothing in between is narrower.
        np.testing.assert_allclose(attend(3 * q, k + 7.0, v), wide, atol=1e-12)


def test_half_precision_differs_by_its_rounding_in_value_and_gradient():
    q, k, v = (jnp.asarray(x, jnp.float32) for x in np.random.default_rng(3).normal(size=(3, 2, 9, 2, 8)))

    def loss(q, k, v):
        return jnp.square(attend(q, k, v).astype(jnp.float32)).sum()

    wanted = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(q, k, v)
    got = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*(x.astype(jnp.bfloat16) for x in (q, k, v)))
    assert all(leaf.dtype == jnp.bfloat16 for leaf in got[1])
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        # A rounding of each of q, k, v, the weights and what they give, and as much again backwards.
        np.testing.assert_allclose(np.float32(a), b, atol=10 * 2**-9 * float(jnp.abs(b).max()))


@pytest.mark.parametrize(
    ("platform", "capability", "dtype", "tokens", "dim", "wanted"),
    [
        ("cpu", "", jnp.bfloat16, 257, 64, "xla"),
        ("tpu", "", jnp.bfloat16, 1025, 64, "xla"),
        ("gpu", "gfx942", jnp.bfloat16, 257, 64, "xla"),  # not NVIDIA's
        ("gpu", "7.5", jnp.float16, 257, 64, "xla"),
        ("gpu", "8.0", jnp.bfloat16, 257, 64, "cudnn"),
        ("gpu", "9.0", jnp.float16, 1025, 64, "cudnn"),
        ("gpu", "12.0", jnp.bfloat16, 257, 64, "cudnn"),  # a number, not a string that sorts before 8.0
        ("gpu", "9.0", jnp.float32, 257, 64, "xla"),
        ("gpu", "9.0", jnp.float64, 257, 64, "xla"),
        ("gpu", "9.0", jnp.bfloat16, 197, 64, "xla"),  # a ViT/16 on 224 x 224
        ("gpu", "9.0", jnp.bfloat16, 200, 64, "cudnn"),
        ("gpu", "9.0", jnp.bfloat16, 37, 64, "xla"),  # DINO's small views
        ("gpu", "9.0", jnp.bfloat16, 65, 64, "xla"),  # what a masked autoencoder's encoder sees
        ("gpu", "9.0", jnp.bfloat16, 257, 4, "xla"),
        ("gpu", "9.0", jnp.bfloat16, 257, 20, "xla"),
        ("gpu", "9.0", jnp.bfloat16, 257, 128, "cudnn"),
        ("gpu", "9.0", jnp.bfloat16, 257, 256, "xla"),
    ],
)
def test_what_is_fastest(platform, capability, dtype, tokens, dim, wanted):
    assert fastest(platform, capability, jnp.dtype(dtype), tokens, dim) == wanted


@pytest.fixture
def asked(monkeypatch):
    """What is asked of jax where the device is said to be a Hopper; XLA computes it, of which there is one here."""
    implementations, given = [], jax.nn.dot_product_attention

    def attended(*args, implementation, **lengths):
        implementations.append(implementation)
        return given(*args, implementation="xla", **lengths)

    hopper = types.SimpleNamespace(platform="gpu", compute_capability="9.0")
    monkeypatch.setattr(jax.nn, "dot_product_attention", attended)
    monkeypatch.setattr(jax, "local_devices", lambda backend: [hopper])
    return implementations


def test_the_device_in_use_decides(asked):
    long, short = (jnp.zeros((1, tokens, 1, 8), jnp.bfloat16) for tokens in (257, 50))
    jax.eval_shape(attend, long, long, long)
    jax.eval_shape(attend, short, short, short)
    with jax.default_device(jax.devices("cpu")[0]):
        jax.eval_shape(attend, long, long, long)
    assert asked == ["cudnn", "xla", "xla"]


def test_a_token_put_behind_an_odd_number_of_them_changes_no_number(asked):
    """In value and gradient: what cuDNN is asked for, computed by XLA."""
    q, k, v, weights = (jnp.asarray(x, jnp.bfloat16) for x in np.random.default_rng(3).normal(size=(4, 2, 201, 1, 8)))

    def loss(q, k, v):
        return (attend(q, k, v) * weights).astype(jnp.float32).sum()

    got = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(q, k, v)
    assert asked == ["cudnn"]
    with jax.default_device(jax.devices("cpu")[0]):
        wanted = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(q, k, v)
    assert asked == ["cudnn", "xla"]
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(np.float32(a), np.float32(b), atol=2**-8 * float(jnp.abs(b).max()))


def lowered_for_cuda():
    """The gradient of a ViT of 257 tokens in half precision, as it is handed to the compiler of NVIDIA's devices."""
    encoder = ViT(patch=4, width=16, depth=1, heads=2).encoder(jnp.bfloat16, rows=1)
    images = jax.ShapeDtypeStruct((2, 64, 64, 1), jnp.float32)
    variables = jax.eval_shape(lambda x: encoder.init(jax.random.key(0), x, train=False), images)

    def loss(variables, images):
        return encoder.apply(variables, images, train=True).embedding.sum()

    return jax.jit(jax.grad(loss)).trace(variables, images).lower(lowering_platforms=("cuda",)).as_text()


def test_a_vit_is_lowered_to_the_flash_kernel_of_cudnn_in_both_directions(monkeypatch):
    """Not run: there is no such device here, and jax is told of one."""
    assert "257x257" in lowered_for_cuda()
    monkeypatch.setattr(attention, "traced_for", lambda: ("gpu", "9.0"))
    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91_100)
    monkeypatch.setattr(fused_attention_stablehlo, "check_compute_capability", lambda wanted: wanted <= "9.0")
    monkeypatch.setattr(fused_attention_stablehlo, "is_cuda_compute_capability_equal", lambda wanted: wanted == "9.0")
    program = lowered_for_cuda()
    assert set(re.findall(r"__cudnn\$\w+", program)) == {"__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"}
    # With the token put behind an odd number there are 258: no array has an entry for each two of them.
    assert not re.search(r"25[78]x25[78]", program)
