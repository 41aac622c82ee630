"""The vision transformer: that loops, recomputing, company and half precision change no number, and what they save."""

import functools
from dataclasses import replace

import counts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves_with_path as leaves_with_path
from models.small_vit import TINY, build_vit, images, keys, run, stacked

from jaxssl.models.vit import ViT

WAYS = [{"remat": True}, {"scan": True}, {"scan": True, "remat": True}]


def loss_of(encoder, params, x):
    features = encoder.apply({"params": params}, x, True, keys(len(x)))
    return jnp.square(features.maps[0] - 0.5).mean() + jnp.sin(features.embedding).mean()


def assert_close(got, wanted, tolerance):
    def compare(path, a, b):
        error = np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max()
        assert error <= tolerance, (jax.tree_util.keystr(path), error)

    jax.tree_util.tree_map_with_path(compare, got, wanted)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_remat_and_scan_change_neither_output_nor_gradient(way):
    """In float64, where nothing hides behind rounding; with stochastic depth, whose draws have to be the same."""
    with jax.enable_x64(True):
        x = images(8, dtype=jnp.float64)
        plain, params = build_vit(TINY, jnp.float64)
        wanted = jax.jit(jax.value_and_grad(functools.partial(loss_of, plain)))(params, x)
        other, other_params = build_vit(replace(TINY, **way), jnp.float64)
        if "scan" in way:
            wanted = (wanted[0], stacked(wanted[1]))
            jax.tree.map(np.testing.assert_array_equal, other_params, stacked(params))
        got = jax.jit(jax.value_and_grad(functools.partial(loss_of, other)))(other_params, x)
        assert min(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted[1])) > 0
        assert_close(got, wanted, 1e-11)


def deep(**way):
    """A loss and its arguments, of a network deep and small."""
    encoder, params = build_vit(replace(TINY, depth=8, drop_path=0.0, **way))
    return functools.partial(loss_of, encoder), params, images(16, (32, 32))


@pytest.mark.parametrize("scan", [False, True])
def test_remat_keeps_little_for_the_backward_pass(scan):
    assert counts.kept_bytes(*deep(scan=scan, remat=True)) < counts.kept_bytes(*deep(scan=scan)) / 5


@pytest.mark.parametrize("remat", [False, True])
def test_scan_makes_the_program_short(remat):
    def length(scan):
        loss, params, x = deep(scan=scan, remat=remat)
        return len(jax.jit(jax.grad(loss)).lower(params, x).as_text())

    assert length(True) < length(False) / 2


def test_remat_in_a_loop_takes_less_memory_once_compiled():
    """In a loop, because the CPU compiler of jax 0.10 undoes recomputation outside of one."""
    assert counts.temporary_bytes(*deep(scan=True, remat=True)) < counts.temporary_bytes(*deep(scan=True)) / 2


@pytest.mark.parametrize("options", [TINY, replace(TINY, scan=True, remat=True)], ids=["unrolled", "looped"])
def test_a_sample_alone_equals_itself_in_a_batch(options):
    encoder, params = build_vit(options)
    x = images(8)
    whole = run(encoder, params, x, True, keys(8))
    alone = run(encoder, params, x[5:6], True, keys(8)[5:6])
    np.testing.assert_allclose(alone.embedding[0], whole.embedding[5], atol=1e-5)
    np.testing.assert_allclose(alone.maps[0][0], whole.maps[0][5], atol=1e-5)
    still = run(encoder, params, x, False)
    assert np.abs(whole.embedding - still.embedding).max(axis=1).min() > 1e-2  # every sample lost a branch


def test_bfloat16_is_close_and_its_gradient_finite():
    """Stated beforehand: 8 bits of mantissa through 3 blocks, so 5% of the largest value."""
    encoder, params = build_vit(TINY)
    low, low_params = build_vit(TINY, jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(low_params))
    wanted, got = (run(e, params, images(), True, keys(4)) for e in (encoder, low))
    assert (got.maps[0].dtype, got.embedding.dtype) == (jnp.bfloat16, jnp.float32)
    for a, b in ((got.embedding, wanted.embedding), (got.maps[0].astype(jnp.float32), wanted.maps[0])):
        np.testing.assert_allclose(a, b, atol=0.05 * float(jnp.abs(b).max()))
    gradient = jax.jit(jax.grad(functools.partial(loss_of, low)))(params, images())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("options", [ViT.tiny(), ViT.small(), ViT.base(), ViT.large()], ids=lambda o: str(o.width))
def test_gradients_in_bfloat16_are_finite_at_every_width(options):
    """On two patches. A variant's blocks are all alike: two, of the widest variant one, are run for its 12 or 24."""
    depth = 1 if options.width == 1024 else 2
    encoder, x = replace(options, depth=depth, scan=True).encoder(jnp.bfloat16, rows=1), images(2, (32, 16))
    shapes = jax.eval_shape(lambda: encoder.init(jax.random.key(0), x, False)["params"])
    draw = np.random.default_rng(0).standard_normal
    params = jax.tree.map(lambda leaf: 0.02 * draw(leaf.shape, np.float32), shapes)
    loss, gradient = jax.jit(jax.value_and_grad(functools.partial(loss_of, encoder)))(params, x)
    assert np.isfinite(loss)
    largest = {jax.tree_util.keystr(path): float(jnp.abs(g).max()) for path, g in leaves_with_path(gradient)}
    assert all(0 < value < np.inf for value in largest.values()), largest  # of nan neither is true
