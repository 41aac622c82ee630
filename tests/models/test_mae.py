"""The decoder of a masked autoencoder: its published size, and that every token finds its way back to its patch."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.errors import UserError
from jaxssl.models.features import Features
from jaxssl.models.mae import Decoder, Light
from jaxssl.models.patches import Patches, PatchPixels
from jaxssl.objectives import keep_least

SMALL = Light(width=8, depth=2, heads=2)


def decoder(options=SMALL, grid=(2, 3), values=4, has_class=True, scan=False):
    return Decoder(options, grid, values, has_class, remat=scan, scan=scan, dtype=jnp.float32)


def test_published_parameters():
    """111,907,840 with the ViT-B/16 encoder (85,798,656) and two arrays of positions, which are fixed here."""
    module, features = decoder(Light(), (14, 14), 768), Features((jnp.zeros((1, 1, 49, 768)),), jnp.zeros((1, 768)))
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), features, jnp.zeros((1, 196), jnp.int32), False))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == 111_907_840 - 85_798_656 - 197 * 512


def inputs(seed=0):
    draw = np.random.default_rng(seed)
    tokens = jnp.asarray(draw.normal(size=(2, 1, 2, 5)), jnp.float32)
    visible, restore = jax.vmap(lambda noise: keep_least(noise, 2))(jnp.asarray(draw.permuted([range(6)] * 2, axis=1)))
    return Features((tokens,), jnp.asarray(draw.normal(size=(2, 5)), jnp.float32)), visible, restore


def begun(module, *given):
    params = jax.eval_shape(lambda: module.init(jax.random.key(0), *given, False)["params"])
    draw = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: np.float32(0.5 * draw.normal(size=leaf.shape)), params)


@functools.partial(jax.jit, static_argnums=0)
def applied(module, params, features, restore):
    return module.apply({"params": params}, features, restore, False)


def test_without_blocks_a_patch_shows_its_own_token_or_the_mask_token():
    """Blocks set to add nothing leave embedding, token, position, norm and pixels, which are written out here."""
    features, visible, restore = inputs()
    p = begun(decoder(), features, restore)
    p = {name: jax.tree.map(np.zeros_like, leaf) if name.startswith("block") else leaf for name, leaf in p.items()}
    got = applied(decoder(), p, features, restore)
    (tokens,), visible = jax.device_get((features.maps, visible))
    columns, rows = np.arange(6) % 3, np.arange(6) // 3
    for sample in range(2):
        for patch in range(6):
            if patch in visible[sample]:
                index = list(visible[sample]).index(patch)
                token = tokens[sample, 0, index] @ p["embed"]["kernel"] + p["embed"]["bias"]
            else:
                token = p["mask_token"]
            waves = [w(f * at[patch]) for at in (columns, rows) for w in (np.sin, np.cos) for f in (1.0, 0.01)]
            x = token + np.asarray(waves)
            x = (x - x.mean()) / np.sqrt(x.var() + 1e-6) * p["norm"]["scale"] + p["norm"]["bias"]
            expected = x @ p["pixels"]["kernel"] + p["pixels"]["bias"]
            np.testing.assert_allclose(got[sample, patch], expected, atol=1e-4)


def test_the_class_token_goes_along_and_a_mean_does_not():
    features, _, restore = inputs()
    other = features._replace(embedding=features.embedding + 1)
    for has_class in (True, False):
        module = decoder(has_class=has_class)
        p = begun(module, features, restore)
        same = np.array_equal(*(applied(module, p, f, restore) for f in (features, other)))
        assert same is not has_class


def test_a_loop_over_blocks_gives_the_same():
    features, _, restore = inputs()
    p = begun(decoder(), features, restore)
    stacked = {name: leaf for name, leaf in p.items() if not name.startswith("block")}
    stacked["blocks"] = jax.tree.map(lambda *layers: jnp.stack(layers), p["block0"], p["block1"])
    wanted = applied(decoder(), p, features, restore)
    np.testing.assert_allclose(applied(decoder(scan=True), stacked, features, restore), wanted, atol=1e-5)


def test_pixels_of_patches_undo_their_embedding():
    """With a kernel that is the embedding's inverse the image comes back."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 6, 1)), jnp.float32)
    there, back = Patches((4, 2), 8, jnp.float32), PatchPixels((4, 2), 1, jnp.float32)
    kernel = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    tokens = there.apply({"params": {"kernel": jnp.asarray(kernel.reshape(4, 2, 1, 8)), "bias": jnp.zeros(8)}}, x)
    features = Features((tokens.reshape(2, 2, 3, 8),), jnp.zeros((2, 8)))
    params = {"kernel": jnp.asarray(kernel.T.reshape(8, 4, 2, 1)), "bias": jnp.full((4, 2, 1), 0.5)}
    (image,) = back.apply({"params": params}, features, False)
    np.testing.assert_allclose(image, x + 0.5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [(Light(width=0), "at least 1"), (Light(width=12, heads=8), "divisible by 4"), (Light(width=6, heads=2), "by 4")],
)
def test_impossible_decoders_are_refused(options, words):
    SMALL.check()
    with pytest.raises(UserError, match=words):
        options.check()
